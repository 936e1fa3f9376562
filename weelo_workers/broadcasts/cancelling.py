"""Cancels a broadcast with everything that belongs to it: for its customer, or for an operator."""

from __future__ import annotations

from collections.abc import Sequence

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import BookingCancelled, CancelResult
from weelo_workers.contracts.reasons import CustomerReason
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    EndedBecause,
    TripCancelledBecause,
)
from weelo_workers.lifecycles import (
    assignment as assignment_lifecycle,
    broadcast as lifecycle,
    truck_request as slot_lifecycle,
)
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast, TruckRequest
from weelo_workers.queries.views import broadcast_header, broadcast_view


def cancel_broadcast(
    uow: UnitOfWork,
    broadcast: Broadcast,
    *,
    reason_code: CustomerReason | None = None,
    note: str | None = None,
    hint: str = "",
) -> CancelResult:
    """Cancel the locked broadcast with its slots, holds and assignments, and notify its transporters and drivers.

    A broadcast that is cancelled already is returned as it is. `hint`: added to the error's text if a truck has set
    out; it names another way to cancel.

    Raises Rejected(BOOKING_CANNOT_CANCEL) once a truck has set out or the broadcast has ended.
    """
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    if broadcast.status != BroadcastStatus.CANCELLED:
        _ensure_cancellable(broadcast, assignments, hint)
        _cancel(uow, broadcast, slots, assignments, reason_code, note)
    # The result counts only the assignments that were cancelled together with the broadcast. The customer may have
    # cancelled single trucks before.
    reverted = [
        a
        for a in assignments
        if a.status == AssignmentStatus.CANCELLED and a.state_changed_at == broadcast.state_changed_at
    ]
    return CancelResult(
        broadcast=broadcast_view(broadcast, slots, uow.now),
        transporters_notified=broadcast.transporters_notified,
        assignments_cancelled=len(reverted),
    )


def _ensure_cancellable(broadcast: Broadcast, assignments: Sequence[Assignment], hint: str) -> None:
    if any(a.status in assignment_lifecycle.HAS_SET_OUT for a in assignments):
        raise Rejected(Code.BOOKING_CANNOT_CANCEL, f"A truck has set out already.{hint}")
    if broadcast.status not in lifecycle.CANCEL.when:
        raise Rejected(Code.BOOKING_CANNOT_CANCEL, f"The {broadcast.kind} is {broadcast.status}.")


def _cancel(
    uow: UnitOfWork,
    broadcast: Broadcast,
    slots: Sequence[TruckRequest],
    assignments: Sequence[Assignment],
    reason_code: CustomerReason | None,
    note: str | None,
) -> None:
    live = [a for a in assignments if a.status in assignment_lifecycle.LIVE]
    # The calls that query the database come first. A query after a change would make the unit of work write that change
    # at once, which costs a further statement.
    broadcast_transitions.request_backfill(uow, broadcast)
    broadcast_transitions.end_holds(uow, broadcast)
    uow.advance_all([s for s in slots if s.status in slot_lifecycle.CANCEL.when], slot_lifecycle.CANCEL)
    why = broadcast_transitions.reason_details(reason_code, note)
    uow.advance_all(live, assignment_lifecycle.CANCEL, why=why, reason_code=reason_code, note=note)
    broadcast_transitions.advance_and_announce(
        uow, broadcast, lifecycle.CANCEL, slots, why=why, end_reason=EndedBecause.CUSTOMER_CANCELLED
    )
    uow.publish(
        BookingCancelled(**broadcast_header(broadcast), reason=EndedBecause.CUSTOMER_CANCELLED),
        broadcast_transitions.transporters_with_trucks(live),
    )
    for assignment in live:
        broadcast_transitions.announce_trip_cancelled(
            uow, broadcast, assignment, TripCancelledBecause.CUSTOMER_CANCELLED
        )
    broadcast_transitions.announce_assignments(uow, broadcast, live)
    broadcast_transitions.trucks_freed(uow, [assignment.transporter_id for assignment in live])
