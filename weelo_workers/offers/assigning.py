"""Assigning trucks to slots: functions shared by accepting and by confirming a hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import BookingFullyFilled, TrucksRemainingUpdate
from weelo_workers.contracts.offers import AcceptResult, Truck, TruckConfirmed
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastStatus, FilledBecause
from weelo_workers.contracts.trips import ExpireAssignment
from weelo_workers.fleet_lock import FleetLock
from weelo_workers.lifecycles import broadcast as lifecycle, truck_request as slot_lifecycle
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast, TruckRequest
from weelo_workers.offers.allocation import Allocation, Offered
from weelo_workers.queries.slots import filled, searching
from weelo_workers.queries.views import assignment_view, broadcast_header
from weelo_workers.randomness import new_id

OFFERED_TO_OTHERS = "It is offered to other fleets."
"""The detail of SLOT_GIVEN_BACK."""


def assign(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    assignments: Sequence[Assignment],
    allocations: Sequence[Allocation],
    transporter_id: UUID,
    *,
    ring: str,
    keeps_out_others: bool | None = None,
) -> list[Assignment]:
    """Insert an assignment for each allocation, set the drivers' answer timers, and publish the result.

    `slots`, `assignments`: all slots and all assignments of the broadcast. `ring`: the ring of the offer to this
    transporter. `keeps_out_others`: whether a transporter with an offer of this broadcast had no room for another
    broadcast (None: not read yet).
    """
    if len(allocations) == sum(slot.status in slot_lifecycle.OPEN for slot in slots):
        # This query comes before the changes, because a query after a change makes the unit of work write the change
        # first, which takes one more round trip.
        broadcast_transitions.request_backfill(uow, broadcast, keeps_out_others)
    won = [_assignment(broadcast, transporter_id, allocation, ring, uow.now) for allocation in allocations]
    uow.advance_all([slot for slot, _, _ in allocations], slot_lifecycle.ASSIGN)
    uow.insert(*won)
    for assignment in won:
        uow.record_created(assignment, "win")
        uow.send(ExpireAssignment(assignment_id=assignment.id), at=assignment.expires_at)
    left = any(slot.status in slot_lifecycle.OPEN for slot in slots)
    assignments = [*assignments, *won]
    broadcast_transitions.advance_and_announce(
        uow,
        broadcast,
        lifecycle.TAKE_SOME if left else lifecycle.TAKE_LAST,
        slots,
        why={"trucks": len(won)},
        first_won_at=broadcast.first_won_at or uow.now,
        filled_at=broadcast.filled_at or (None if left else uow.now),
    )
    _tell(uow, broadcast, slots, won, assignments)
    broadcast_transitions.start_if_under_way(uow, broadcast, slots, assignments)
    broadcast_transitions.trucks_taken(uow, transporter_id)
    return won


def split_repeated(
    live: Sequence[Assignment], trucks: Sequence[Truck]
) -> tuple[list[Assignment], tuple[Truck, ...]]:
    """Return the live assignments of trucks that an earlier command has assigned already, and the remaining trucks."""
    by_truck = {(assignment.vehicle_id, assignment.driver_id): assignment for assignment in live}
    before, wanted = [], []
    for truck in trucks:
        won = by_truck.get((truck.vehicle_id, truck.driver_id))
        if won is not None and truck.truck_request_id in (None, won.truck_request_id):
            before.append(won)
        else:
            wanted.append(truck)
    return before, tuple(wanted)


def ensure_open(broadcast: Broadcast, now: datetime) -> None:
    """Raise Rejected with the reason if the broadcast is cancelled, expired or full (ACPT-02)."""
    if broadcast.status == BroadcastStatus.CANCELLED:
        raise Rejected(Code.BROADCAST_CANCELLED)
    if broadcast.status == BroadcastStatus.EXPIRED:
        raise Rejected(Code.BROADCAST_EXPIRED)
    if broadcast.status not in lifecycle.OPEN:
        raise Rejected(Code.BROADCAST_FILLED, extra={"remaining": 0})
    if now >= broadcast.expires_at:
        raise Rejected(Code.BROADCAST_EXPIRED)


def lock_free_trucks(
    uow: UnitOfWork, transporter_id: UUID, wanted: Sequence[Truck], *, fills: UUID | None = None
) -> tuple[list[Offered], bool | None]:
    """Lock and return these vehicles and drivers, with `FleetLock.keeps_out_others`. For `fills` see `FleetLock`.

    Raises Rejected if one of them is busy, off duty or not of this fleet (ACPT-06).
    """
    vehicles, drivers = [truck.vehicle_id for truck in wanted], [truck.driver_id for truck in wanted]
    fleet = FleetLock(uow, transporter_id, vehicles, drivers, fills)
    trucks = []
    for truck in wanted:
        vehicle, driver = fleet.vehicle(truck.vehicle_id), fleet.driver(truck.driver_id)
        fleet.ensure_free_vehicle(vehicle)
        fleet.ensure_free_driver(driver)
        trucks.append((truck, vehicle, driver))
    return trucks, fleet.keeps_out_others


def _assignment(
    broadcast: Broadcast, transporter_id: UUID, allocation: Allocation, ring: str, now: datetime
) -> Assignment:
    slot, vehicle, driver = allocation
    return Assignment(
        id=new_id(),
        trip_id=new_id(),
        broadcast_id=broadcast.id,
        truck_request_id=slot.id,
        transporter_id=transporter_id,
        driver_id=driver.id,
        vehicle_id=vehicle.id,
        vehicle_number=vehicle.vehicle_number,
        status=AssignmentStatus.PENDING,
        reason_code=None,
        note=None,
        replaced_drivers=[],
        expires_at=now + timedelta(seconds=broadcast.policy.driver_accept_seconds),
        created_at=now,
        state_changed_at=now,
        ring=ring,
    )


def _tell(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    won: Sequence[Assignment],
    assignments: Sequence[Assignment],
) -> None:
    header, found = broadcast_header(broadcast), filled(slots)
    for assignment in won:
        uow.publish(
            TruckConfirmed(
                **header,
                assignment=assignment_view(assignment),
                trucks_filled=found,
                trucks_needed=broadcast.trucks_needed,
            )
        )
        broadcast_transitions.announce_trip_assigned(uow, broadcast, assignment)
    broadcast_transitions.announce_assignments(uow, broadcast, won)
    if any(slot.status in slot_lifecycle.OPEN for slot in slots):
        uow.publish(TrucksRemainingUpdate(**header, trucks_remaining=len(searching(slots))))
    else:
        live = [assignment for assignment in assignments if assignment.status in LIVE]
        uow.publish(
            BookingFullyFilled(**header, reason=FilledBecause.FULLY_FILLED),
            broadcast_transitions.transporters_with_trucks(live),
        )


def accept_result(
    broadcast: Broadcast, slots: Sequence[TruckRequest], assignments: Sequence[Assignment]
) -> AcceptResult:
    found = filled(slots)
    return AcceptResult(
        assignments=[assignment_view(assignment) for assignment in assignments],
        trucks_needed=broadcast.trucks_needed,
        trucks_filled=found,
        is_fully_filled=found == broadcast.trucks_needed,
        status=BroadcastStatus(broadcast.status),
    )
