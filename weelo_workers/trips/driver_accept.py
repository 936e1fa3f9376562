"""Handler: a driver accepts an assignment."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.reasons import SystemReason
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import AssignmentView, DriverAccepts
from weelo_workers.lifecycles import assignment as lifecycle, truck_request as slot_lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, TruckRequest
from weelo_workers.ownership import lock_own_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.watchdogs import watch_start


@handles(DriverAccepts)
def driver_accept(command: DriverAccepts, uow: UnitOfWork) -> AssignmentView:
    """Accept the assignment; repeating it succeeds. Sets the first timer that watches whether the truck sets out.

    Raises Rejected(ASSIGNMENT_EXPIRED) after the time to answer.
    """
    broadcast, assignment = lock_own_assignment(
        uow, Assignment.id == command.assignment_id, command.driver_id
    )
    if assignment.status in lifecycle.LIVE - {AssignmentStatus.PENDING}:
        uow.replayed = True
        return assignment_view(assignment)
    timed_out = assignment.reason_code == SystemReason.DRIVER_TIMEOUT
    pending = assignment.status == AssignmentStatus.PENDING
    if timed_out or (pending and assignment.expires_at is not None and uow.now >= assignment.expires_at):
        raise Rejected(Code.ASSIGNMENT_EXPIRED, "The truck is being offered to others again.")
    slot = uow.session.get_one(TruckRequest, assignment.truck_request_id)
    uow.advance(assignment, lifecycle.ACCEPT)
    uow.advance(slot, slot_lifecycle.ACCEPT)
    watch_start(uow, broadcast, assignment)
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment])
    return assignment_view(assignment)
