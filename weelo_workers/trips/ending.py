"""Ends the slot of a truck: the broadcast goes on with its other trucks, or ends if this was the last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import BookingCancelled, BookingExpired, NoVehiclesAvailable
from weelo_workers.contracts.reasons import ReasonCode
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    EndedBecause,
    ExpiredBecause,
    TripCancelledBecause,
    UnfilledBecause,
)
from weelo_workers.lifecycles import broadcast as lifecycle, truck_request as slot_lifecycle
from weelo_workers.lifecycles.assignment import HAS_SET_OUT
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast, TruckRequest
from weelo_workers.queries.slots import filled
from weelo_workers.queries.views import broadcast_header

TRIP_CANCELLED_BECAUSE = {
    EndedBecause.CUSTOMER_CANCELLED: TripCancelledBecause.CUSTOMER_CANCELLED,
    EndedBecause.ENDED_BY_OPERATOR: TripCancelledBecause.ENDED_BY_OPERATOR,
}
"""The reason of `trip_cancelled`. A driver who reports a no-show ends the trip and gets no such event."""


def end_truck(
    uow: UnitOfWork,
    broadcast: Broadcast,
    assignment: Assignment,
    transition: Transition[AssignmentStatus],
    because: EndedBecause,
    *,
    reason_code: ReasonCode | None = None,
    note: str | None = None,
) -> list[TruckRequest]:
    """End the assignment, cancel its slot, and return all slots of the broadcast. The truck and its driver are free again.

    `because`: why it ends. If this was the last truck, it is also the reason of the broadcast's cancellation. Raises
    Rejected(INVALID_TRANSITION).
    """
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    why = broadcast_transitions.reason_details(reason_code, note)
    uow.advance(assignment, transition, why=why, reason_code=reason_code, note=note)
    uow.advance(slot_of(slots, assignment), slot_lifecycle.CANCEL, why=why)
    broadcast_transitions.trucks_freed(uow, [assignment.transporter_id])
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment])
    if because in TRIP_CANCELLED_BECAUSE:
        broadcast_transitions.announce_trip_cancelled(
            uow, broadcast, assignment, TRIP_CANCELLED_BECAUSE[because]
        )
    if because is EndedBecause.ENDED_BY_OPERATOR:
        broadcast_transitions.announce_loss(uow, broadcast, assignment, reoffered=False)
    continue_without(uow, broadcast, slots, assignments, assignment, because=because, why=why)
    broadcast_transitions.complete_if_delivered(uow, broadcast, slots, assignments)
    return slots


def slot_of(slots: Sequence[TruckRequest], assignment: Assignment) -> TruckRequest:
    return next(slot for slot in slots if slot.id == assignment.truck_request_id)


def continue_without(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    assignments: Sequence[Assignment],
    lost: Assignment,
    *,
    because: EndedBecause | None,
    why: dict[str, Any],
) -> None:
    """Make the broadcast's transition after the slot of the lost truck has ended.

    If the broadcast ends, publish its end. `slots`, `assignments`: all slots and assignments of the broadcast, in their
    new states. `because`: why the slot was cancelled; None if it expired.
    """
    left = filled(slots)
    open_slots = sum(slot.status in slot_lifecycle.OPEN for slot in slots)
    transition = lifecycle.after_loss(
        BroadcastStatus(broadcast.status),
        open_slots=open_slots,
        filled=left,
        has_set_out=any(each.status in HAS_SET_OUT for each in assignments),
        cancelled=because is not None,
    )
    with_trucks = broadcast_transitions.transporters_with_trucks([lost])
    match transition:
        case lifecycle.CANCEL_LAST_TRUCK:
            assert because is not None
            broadcast_transitions.advance_and_announce(
                uow, broadcast, transition, slots, why=why, end_reason=because
            )
            uow.publish(BookingCancelled(**broadcast_header(broadcast), reason=because), with_trucks)
        case lifecycle.LAPSE:
            broadcast_transitions.advance_and_announce(
                uow, broadcast, transition, slots, why=why, end_reason=ExpiredBecause.NOBODY_ACCEPTED
            )
            expired = BookingExpired(**broadcast_header(broadcast), reason=ExpiredBecause.NOBODY_ACCEPTED)
            uow.publish(expired, with_trucks)
        case _:
            # Every broadcast needs at least 1 truck, so `trucks_needed` stays 1 when an expired broadcast loses its
            # last truck.
            broadcast_transitions.advance_and_announce(
                uow,
                broadcast,
                transition,
                slots,
                why=why,
                trucks_needed=max(1, broadcast.trucks_needed - 1),
            )
    if because is None and not left and not open_slots:
        uow.publish(
            NoVehiclesAvailable(**broadcast_header(broadcast), reason=UnfilledBecause.NOBODY_ACCEPTED)
        )
