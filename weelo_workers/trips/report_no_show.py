"""Handler: a driver reports that the customer did not come to the pickup."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus, EndedBecause
from weelo_workers.contracts.trips import AssignmentView, ReportNoShow
from weelo_workers.lifecycles import assignment as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment
from weelo_workers.ownership import lock_own_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.ending import end_truck


@handles(ReportNoShow)
def report_no_show(command: ReportNoShow, uow: UnitOfWork) -> AssignmentView:
    """End the trip and its slot; repeating it succeeds. The wait begins when `at_pickup` is reported.

    Raises Rejected: INVALID_TRANSITION unless the truck is at the pickup, TOO_EARLY (with `retryAfter` in seconds)
    before PICKUP_WAIT_SECONDS have passed.
    """
    broadcast, assignment = lock_own_assignment(
        uow, Assignment.id == command.assignment_id, command.driver_id
    )
    if assignment.status == AssignmentStatus.CUSTOMER_NO_SHOW:
        uow.replayed = True
        return assignment_view(assignment)
    wait_until = assignment.state_changed_at + timedelta(seconds=broadcast.policy.pickup_wait_seconds)
    if assignment.status == AssignmentStatus.AT_PICKUP and uow.now < wait_until:
        left = ceil((wait_until - uow.now).total_seconds())
        raise Rejected(Code.TOO_EARLY, f"Wait {left} s longer for the customer.", {"retryAfter": left})
    because = EndedBecause.CUSTOMER_NO_SHOW
    end_truck(uow, broadcast, assignment, lifecycle.REPORT_NO_SHOW, because, note=command.note)
    return assignment_view(assignment)
