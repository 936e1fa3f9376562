"""Revert a declined or unanswered assignment: its slot is offered again, or expires if it is too late for that."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import (
    BookingExpired,
    NoVehiclesAvailable,
    ReofferBroadcast,
    TrucksRemainingUpdate,
)
from weelo_workers.contracts.statuses import BroadcastStatus, UnfilledBecause
from weelo_workers.lifecycles import (
    assignment as assignment_lifecycle,
    broadcast as lifecycle,
    truck_request as slot_lifecycle,
)
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import (
    Assignment,
    Broadcast,
    Driver,
    Offer,
    TruckRequest,
    Vehicle,
    driver_busy,
    vehicle_busy,
)
from weelo_workers.models.fleet import of_kinds
from weelo_workers.queries.slots import filled, searching
from weelo_workers.queries.views import broadcast_header

# CONTRACT section 4: a reopened broadcast stays open for at least this long.
AT_LEAST = timedelta(seconds=60)
NOBODY_ACCEPTED = UnfilledBecause.NOBODY_ACCEPTED


def revert_assignment(uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment, reason: str) -> None:
    """Revert the assignment and free its driver and vehicle; offer the slot again if there is time for it.

    Raises Rejected(INVALID_TRANSITION) if the assignment does not wait for an answer.
    """
    slot = uow.session.get_one(TruckRequest, assignment.truck_request_id)
    uow.advance(assignment, assignment_lifecycle.DECLINE, why={"reason": reason}, reason=reason)
    uow.advance(slot, slot_lifecycle.REOPEN, why={"reason": reason})
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment])
    broadcast_transitions.trucks_freed(uow, [assignment.transporter_id])
    _pass_over(uow, broadcast, slot, assignment)
    if not _reopened(uow, broadcast, slot, reason):
        _end(uow, broadcast, slot, reason)


def _pass_over(uow: UnitOfWork, broadcast: Broadcast, slot: TruckRequest, assignment: Assignment) -> None:
    """Decline the offer on behalf of the fleet, unless the fleet has another free truck and driver."""
    fleet = assignment.transporter_id
    trucks = uow.session.scalar(
        select(func.count()).where(
            Vehicle.transporter_id == fleet,
            of_kinds({slot.vehicle_key}),
            Vehicle.id != assignment.vehicle_id,
            ~vehicle_busy,
        )
    )
    drivers = uow.session.scalar(
        select(func.count()).where(
            Driver.transporter_id == fleet,
            Driver.id != assignment.driver_id,
            Driver.is_available,
            ~driver_busy,
        )
    )
    offer = uow.session.get(Offer, (broadcast.id, fleet))
    if offer is not None and offer.declined_at is None and not (trucks and drivers):
        offer.declined_at = uow.now
        offer.decline_reason = "driver_refused"
        uow.session.flush()


def _reopened(uow: UnitOfWork, broadcast: Broadcast, slot: TruckRequest, reason: str) -> bool:
    """Reopen the slot for at least a minute. Return False after the deadline, or if the customer has another broadcast."""
    reopenable = lifecycle.REOPEN_SOME.when
    if broadcast.status not in reopenable or uow.now >= broadcast.expires_at:
        return False
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    under_way = broadcast.status == BroadcastStatus.IN_PROGRESS
    transition = lifecycle.REOPEN_SOME if filled(slots) or under_way else lifecycle.REOPEN_ALL
    deadline = max(broadcast.expires_at, uow.now + AT_LEAST)
    if not uow.advance_unless(
        "one_open_broadcast_per_customer", broadcast, transition, why={"reason": reason}, expires_at=deadline
    ):
        return False
    broadcast_transitions.announce_state(uow, broadcast, slots)
    uow.publish(TrucksRemainingUpdate(**broadcast_header(broadcast), trucks_remaining=len(searching(slots))))
    uow.send(ReofferBroadcast(broadcast_id=broadcast.id, truck_request_id=slot.id))
    return True


def _end(uow: UnitOfWork, broadcast: Broadcast, slot: TruckRequest, reason: str) -> None:
    """Expire the slot. The broadcast continues with its other trucks, if there are any."""
    uow.advance(slot, slot_lifecycle.EXPIRE, why={"reason": reason})
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    left, why = filled(slots), {"reason": reason}
    if broadcast.status == BroadcastStatus.FULLY_FILLED and left:
        broadcast_transitions.advance_and_announce(
            uow, broadcast, lifecycle.LOSE_TRUCK, slots, why=why, trucks_needed=left
        )
    elif broadcast.status == BroadcastStatus.IN_PROGRESS:
        broadcast_transitions.advance_and_announce(
            uow, broadcast, lifecycle.LOSE_TRUCK_UNDER_WAY, slots, why=why, trucks_needed=left
        )
        broadcast_transitions.complete_if_delivered(uow, broadcast, slots)
    elif broadcast.status == BroadcastStatus.FULLY_FILLED:
        broadcast_transitions.advance_and_announce(
            uow, broadcast, lifecycle.LAPSE, slots, why=why, end_reason=NOBODY_ACCEPTED
        )
        uow.publish(
            BookingExpired(**broadcast_header(broadcast), reason=NOBODY_ACCEPTED),
            broadcast_transitions.transporters_with_trucks([]),
        )
    if not left:
        uow.publish(NoVehiclesAvailable(**broadcast_header(broadcast), reason=NOBODY_ACCEPTED))
