"""Handler: a driver declines an assignment and its slot reopens."""

from __future__ import annotations

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import AssignmentView, DriverDeclines
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment
from weelo_workers.ownership import lock_own_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.reopening import revert_assignment


@handles(DriverDeclines)
def driver_decline(command: DriverDeclines, uow: UnitOfWork) -> AssignmentView:
    """Revert the assignment; repeating it succeeds. Raises Rejected(INVALID_TRANSITION) unless it is pending."""
    broadcast, assignment = lock_own_assignment(
        uow, Assignment.id == command.assignment_id, command.driver_id
    )
    if assignment.status == AssignmentStatus.DRIVER_DECLINED:
        uow.replayed = True
    else:
        revert_assignment(uow, broadcast, assignment, command.reason or "declined")
    return assignment_view(assignment)
