"""Handler: a driver or a transporter gives a truck back, and another truck is searched for."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus, Role, TripCancelledBecause
from weelo_workers.contracts.trips import AssignmentView, GiveBack
from weelo_workers.lifecycles.reoffer import LostBecause
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment
from weelo_workers.ownership import lock_fleet_assignment, lock_own_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.reopening import lose_truck


@handles(GiveBack)
def give_back(command: GiveBack, uow: UnitOfWork) -> AssignmentView:
    """Give the truck back; repeating it succeeds. Possible until the goods are loaded.

    Raises Rejected(INVALID_TRANSITION) in any other status, and for a driver who has not answered yet: they have to
    decline.
    """
    by_driver = command.role is Role.DRIVER
    if by_driver:
        broadcast, assignment = lock_own_assignment(
            uow, Assignment.id == command.assignment_id, command.user_id
        )
    else:
        broadcast, assignment = lock_fleet_assignment(uow, command.assignment_id, command.user_id)
    if assignment.status == AssignmentStatus.GIVEN_BACK:
        uow.replayed = True
        return assignment_view(assignment)
    unanswered = assignment.status == AssignmentStatus.PENDING
    if unanswered and by_driver:
        raise Rejected(Code.INVALID_TRANSITION, "You have not accepted this trip yet: decline it.")
    because = LostBecause.GIVEN_BACK_UNANSWERED if unanswered else LostBecause.GIVEN_BACK
    lose_truck(uow, broadcast, assignment, because, command.reason_code, command.note)
    if not by_driver:
        broadcast_transitions.announce_trip_cancelled(
            uow, broadcast, assignment, TripCancelledBecause.GIVEN_BACK
        )
    return assignment_view(assignment)
