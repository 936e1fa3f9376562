"""Handler: a customer cancels one truck of a broadcast."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import CancelTruckResult
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus, EndedBecause
from weelo_workers.contracts.trips import CancelTruck
from weelo_workers.lifecycles import assignment as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.ownership import lock_customers_assignment
from weelo_workers.queries.views import assignment_view, broadcast_view
from weelo_workers.trips.ending import end_truck


@handles(CancelTruck)
def cancel_truck(command: CancelTruck, uow: UnitOfWork) -> CancelTruckResult:
    """Cancel the truck and its slot, even if other trucks are under way; repeating it succeeds.

    Raises Rejected(BOOKING_CANNOT_CANCEL) once the goods are loaded, or after the truck was lost in another way.
    """
    broadcast, assignment = lock_customers_assignment(uow, command.assignment_id, command.customer_id)
    if assignment.status == AssignmentStatus.CANCELLED:
        uow.replayed = True
        slots = broadcast_transitions.slots_of(uow, broadcast.id)
    elif assignment.status not in lifecycle.CANCEL_TRUCK.when:
        raise Rejected(Code.BOOKING_CANNOT_CANCEL, f"The trip is {assignment.status}.")
    else:
        slots = end_truck(
            uow,
            broadcast,
            assignment,
            lifecycle.CANCEL_TRUCK,
            EndedBecause.CUSTOMER_CANCELLED,
            reason_code=command.reason_code,
            note=command.note,
        )
    return CancelTruckResult(
        broadcast=broadcast_view(broadcast, slots, uow.now), assignment=assignment_view(assignment)
    )
