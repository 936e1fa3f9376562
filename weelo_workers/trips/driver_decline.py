"""Handler: a driver declines an assignment and its slot reopens."""

from __future__ import annotations

from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import AssignmentView, DriverDeclines
from weelo_workers.lifecycles.reoffer import LostBecause
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment
from weelo_workers.ownership import lock_own_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.reopening import lose_truck


@handles(DriverDeclines)
def driver_decline(command: DriverDeclines, uow: UnitOfWork) -> AssignmentView:
    """Revert the assignment; repeating it succeeds. Raises Rejected(INVALID_TRANSITION) unless it is pending.

    If the driver had replaced another one, the truck is given back, and the customer gets `truck_lost`.
    """
    broadcast, assignment = lock_own_assignment(
        uow, Assignment.id == command.assignment_id, command.driver_id
    )
    if assignment.status in (AssignmentStatus.DRIVER_DECLINED, AssignmentStatus.GIVEN_BACK):
        uow.replayed = True
    elif assignment.replaced_drivers:
        code = command.reason_code or ProviderReason.DRIVER_UNAVAILABLE
        lose_truck(uow, broadcast, assignment, LostBecause.REPLACEMENT_DECLINED, code, command.reason)
    else:
        because = LostBecause.DRIVER_DECLINED
        lose_truck(uow, broadcast, assignment, because, command.reason_code, command.reason)
    return assignment_view(assignment)
