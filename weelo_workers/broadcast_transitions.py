"""Transitions of broadcasts that several domains share, with their events and follow-up commands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import select

from weelo_workers import presence, presence_sync
from weelo_workers.contracts.broadcasts import (
    Backfill,
    BookingCompleted,
    BroadcastStateChanged,
    CatchUp,
    WidenBroadcast,
)
from weelo_workers.contracts.reasons import ProviderReason, ReasonCode, stored_code
from weelo_workers.contracts.recipients import ToDriver, ToTransportersWithTrucks
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    HoldStatus,
    TripCancelledBecause,
)
from weelo_workers.contracts.trips import (
    AssignmentStatusChanged,
    TripAssigned,
    TripCancelled,
    TruckLost,
    Waypoint,
)
from weelo_workers.lifecycles import broadcast as lifecycle, hold as hold_lifecycle
from weelo_workers.lifecycles.assignment import HAS_SET_OUT, LIVE
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging.unit_of_work import AS_IT_IS_NOW, UnitOfWork
from weelo_workers.models import Assignment, Broadcast, Hold, TruckRequest
from weelo_workers.queries.open_offers import in_last_step, keeps_out_any
from weelo_workers.queries.slots import filled, kinds_of, searching
from weelo_workers.queries.views import assignment_view, broadcast_header, place


def slots_of(uow: UnitOfWork, broadcast_id: UUID) -> list[TruckRequest]:
    """Return the broadcast's slots in their order. They are read again, because rows read before the lock may have changed.

    Call this under the broadcast's lock. No other transaction can then change a slot.
    """
    query = (
        select(TruckRequest)
        .where(TruckRequest.broadcast_id == broadcast_id)
        .order_by(TruckRequest.request_number)
    )
    return list(uow.session.scalars(query, execution_options=AS_IT_IS_NOW))


def assignments_of(uow: UnitOfWork, broadcast_id: UUID) -> list[Assignment]:
    """Return all assignments of this broadcast, ended ones included, oldest first."""
    query = select(Assignment).where(Assignment.broadcast_id == broadcast_id).order_by(Assignment.created_at)
    return list(uow.session.scalars(query, execution_options=AS_IT_IS_NOW))


def advance_and_announce(
    uow: UnitOfWork,
    broadcast: Broadcast,
    transition: Transition[BroadcastStatus],
    slots: Sequence[TruckRequest],
    *,
    why: dict[str, Any] | None = None,
    **columns: Any,
) -> None:
    """Move a broadcast and publish its event. Every transition publishes one (docs/promises.md, BCAST-03)."""
    uow.advance(broadcast, transition, why=why, **columns)
    announce_state(uow, broadcast, slots)


def announce_state(uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> None:
    """Publish the broadcast's state to its customer, and update the index for heartbeats.

    `slots`: all slots of the broadcast, in their new states.
    """
    uow.publish(
        BroadcastStateChanged(
            **broadcast_header(broadcast),
            trucks_filled=filled(slots),
            trucks_needed=broadcast.trucks_needed,
            transporters_notified=broadcast.transporters_notified,
            radius_km=broadcast.reach.limit_km,
            expires_at=broadcast.expires_at,
        )
    )
    index_for_heartbeats(uow, broadcast, slots)


def index_for_heartbeats(uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> None:
    """After the commit, add the broadcast to the index that heartbeats search, or remove it if no slot is open.

    A broadcast in a last step without a limit is removed, too. Every heartbeat would find it without need, because
    CatchUp already makes the offers to transporters who come online.
    """
    reach, last_step = broadcast.reach.limit_km, in_last_step(broadcast)
    in_rings = (
        broadcast.status in lifecycle.OPEN
        and reach is not None
        and not (last_step and broadcast.policy.last_step_max_km == 0)
    )
    kinds = kinds_of(searching(slots)) if in_rings else set()
    shown = partial(
        presence.index_broadcast,
        broadcast.id,
        uow.now.timestamp(),
        kinds,
        presence.Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"]),
        reach or 0.0,
        (broadcast.expires_at - uow.now).total_seconds(),
    )
    # A command may move a broadcast several times, and each move registers a call. Only the last call is executed,
    # because it has the final state.
    uow.after_commit(shown, only_last=("index_for_heartbeats", broadcast.id))


def trucks_taken(uow: UnitOfWork, transporter_id: UUID) -> None:
    """Update presence for a fleet with fewer free trucks, within about a second.

    The delay is harmless: if a step still finds the fleet in presence, the database shows that its trucks are not free.
    """
    presence_sync.sync_soon(uow, transporter_id)


def trucks_freed(uow: UnitOfWork, transporter_ids: Iterable[UUID]) -> None:
    """Update presence for fleets with more free trucks, and offer them the broadcasts that they have missed."""
    for transporter_id in sorted(set(transporter_ids)):
        presence_sync.sync_after_commit(uow, transporter_id)
        uow.send(CatchUp(transporter_id=transporter_id))


def next_step(broadcast: Broadcast) -> WidenBroadcast:
    """Return the command that makes the next step of this broadcast."""
    return WidenBroadcast(broadcast_id=broadcast.id, step=broadcast.next_step, round=broadcast.reoffer_rounds)


def send_next_step(uow: UnitOfWork, broadcast: Broadcast) -> None:
    """Send the command for the next step now, because no transporter has an open offer of the broadcast any more.

    The timer of that step then does nothing. No command is sent if the broadcast is over, has made no step yet, or has
    reached everyone. Called under the broadcast's lock.
    """
    if broadcast.status in lifecycle.OPEN and broadcast.has_begun and not broadcast.has_reached_all:
        uow.send(next_step(broadcast))


def request_backfill(uow: UnitOfWork, broadcast: Broadcast, keeps_out_others: bool | None = None) -> None:
    """Send Backfill if transporters with an offer of this ended broadcast had no room for other broadcasts.

    `keeps_out_others`: whether there are such transporters. If it is None, the database is queried.
    """
    if keeps_out_others is None:
        keeps_out_others = keeps_out_any(uow.session, broadcast.id, uow.now)
    if keeps_out_others:
        uow.send(Backfill(broadcast_id=broadcast.id))


def announce_assignments(
    uow: UnitOfWork,
    broadcast: Broadcast,
    assignments: Sequence[Assignment],
    *,
    occurred_at: datetime | None = None,
) -> None:
    """Publish the new status of each of these assignments. `occurred_at`: the time of the change, by a phone's clock."""
    for assignment in assignments:
        uow.publish(
            AssignmentStatusChanged(
                **broadcast_header(broadcast),
                assignment=assignment_view(assignment),
                occurred_at=occurred_at,
            )
        )


def announce_trip_assigned(uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment) -> None:
    """Publish the trip to the driver of the assignment, who has until `expires_at` to answer."""
    uow.publish(
        TripAssigned(
            **broadcast_header(broadcast),
            assignment=assignment_view(assignment),
            pickup=Waypoint.at(place(broadcast.pickup)),
            drop=Waypoint.at(place(broadcast.drop)),
            expires_at=assignment.expires_at,
        )
    )


def announce_trip_cancelled(
    uow: UnitOfWork,
    broadcast: Broadcast,
    assignment: Assignment,
    because: TripCancelledBecause,
    *,
    reason_code: ReasonCode | None = None,
    driver_id: UUID | None = None,
) -> None:
    """Publish to a driver that the trip is no longer theirs.

    `reason_code`: by default the code of the assignment. `driver_id`: by default the driver of the assignment.
    """
    uow.publish(
        TripCancelled(
            **broadcast_header(broadcast),
            assignment=assignment_view(assignment),
            reason=because,
            reason_code=reason_code or stored_code(assignment.reason_code),
        ),
        ToDriver(driver_id=driver_id),
    )


def announce_loss(uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment, *, reoffered: bool) -> None:
    """Publish to the customer that a truck does not come. `reoffered`: whether another one is searched for."""
    uow.publish(
        TruckLost(
            **broadcast_header(broadcast),
            assignment=assignment_view(assignment),
            reason_code=stored_code(assignment.reason_code) or ProviderReason.OTHER,
            reoffered=reoffered,
        )
    )


def reason_details(code: ReasonCode | None, note: str | None = None) -> dict[str, Any]:
    """Return a reason for the history: `reasonCode`, and `note` with the user's own words. Empty values are left out."""
    details = {"reasonCode": code and code.value, "note": note}
    return {name: value for name, value in details.items() if value}


def transporters_with_trucks(assignments: Sequence[Assignment]) -> ToTransportersWithTrucks:
    """Return the transporters of these trucks, each with the number of their trucks."""
    return ToTransportersWithTrucks(
        assigned_to=dict(Counter(assignment.transporter_id for assignment in assignments))
    )


def end_holds(uow: UnitOfWork, broadcast: Broadcast) -> None:
    """End all open holds on a broadcast that has ended."""
    held = select(Hold).where(Hold.broadcast_id == broadcast.id, Hold.status == HoldStatus.OPEN)
    uow.advance_all(list(uow.session.scalars(held)), hold_lifecycle.END)


def start_if_under_way(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    assignments: Sequence[Assignment] | None = None,
) -> None:
    """Move a full broadcast to `in_progress` if one of its trucks has set out.

    `assignments`: all assignments of the broadcast; if they are not given, they are read.
    """
    if broadcast.status != BroadcastStatus.FULLY_FILLED:
        return
    if assignments is None:
        assignments = assignments_of(uow, broadcast.id)
    if any(assignment.status in HAS_SET_OUT for assignment in assignments):
        advance_and_announce(uow, broadcast, lifecycle.SET_OUT, slots)


def complete_if_delivered(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    assignments: Sequence[Assignment] | None = None,
) -> None:
    """Complete a broadcast in progress if none of its assignments is live any more.

    `assignments`: all assignments of the broadcast; if they are not given, they are read.
    """
    if broadcast.status != BroadcastStatus.IN_PROGRESS:
        return
    if assignments is None:
        assignments = assignments_of(uow, broadcast.id)
    if any(a.status in LIVE for a in assignments):
        return
    advance_and_announce(uow, broadcast, lifecycle.COMPLETE, slots)
    delivered = [a for a in assignments if a.status == AssignmentStatus.COMPLETED]
    uow.publish(BookingCompleted(**broadcast_header(broadcast)), transporters_with_trucks(delivered))
