"""Handler: an operator ends a trip in any status, also with goods on board."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.statuses import AssignmentStatus, EndedBecause, EndOutcome
from weelo_workers.contracts.trips import AssignmentView, EndTrip
from weelo_workers.lifecycles import assignment as lifecycle, truck_request as slot_lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast
from weelo_workers.ownership import lock_any_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.ending import end_truck, slot_of

STATUS = {
    EndOutcome.COMPLETED: AssignmentStatus.COMPLETED,
    EndOutcome.FAILED: AssignmentStatus.FAILED,
}


@handles(EndTrip)
def end(command: EndTrip, uow: UnitOfWork) -> AssignmentView:
    """End the trip as completed or as failed; repeating it succeeds. The truck and its driver are free again.

    Raises Rejected(INVALID_TRANSITION) if the trip has ended otherwise.
    """
    broadcast, assignment = lock_any_assignment(uow, command.assignment_id)
    if assignment.status == STATUS[command.outcome]:
        uow.replayed = True
    elif command.outcome is EndOutcome.COMPLETED:
        _complete(command, uow, broadcast, assignment)
    else:
        end_truck(
            uow,
            broadcast,
            assignment,
            lifecycle.END_FAILED,
            EndedBecause.ENDED_BY_OPERATOR,
            reason_code=command.reason_code,
            note=command.note,
        )
    return assignment_view(assignment)


def _complete(command: EndTrip, uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment) -> None:
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    why = broadcast_transitions.reason_details(command.reason_code, command.note)
    uow.advance(
        assignment,
        lifecycle.END_COMPLETED,
        why=why,
        reason_code=command.reason_code,
        note=command.note,
    )
    uow.advance(slot_of(slots, assignment), slot_lifecycle.COMPLETE, why=why)
    broadcast_transitions.trucks_freed(uow, [assignment.transporter_id])
    broadcast_transitions.start_if_under_way(uow, broadcast, slots, assignments)
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment])
    broadcast_transitions.complete_if_delivered(uow, broadcast, slots, assignments)
