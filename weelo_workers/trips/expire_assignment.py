"""Handler (timer): a driver did not answer in time and the slot reopens."""

from __future__ import annotations

from weelo_workers.contracts.reasons import SystemReason
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import DriverTimedOut, ExpireAssignment
from weelo_workers.lifecycles.reoffer import LostBecause
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment
from weelo_workers.ownership import lock_assignment
from weelo_workers.queries.views import assignment_view, broadcast_header
from weelo_workers.trips.reopening import lose_truck


@handles(ExpireAssignment)
def expire_assignment(command: ExpireAssignment, uow: UnitOfWork) -> None:
    """Revert the assignment. Does nothing if it was answered or reverted before."""
    found = lock_assignment(uow, Assignment.id == command.assignment_id)
    if found is None:
        return
    broadcast, assignment = found
    if assignment.status != AssignmentStatus.PENDING or assignment.expires_at is None:
        return
    if uow.now < assignment.expires_at:
        uow.send(command, at=assignment.expires_at)
        return
    replacement = bool(assignment.replaced_drivers)
    because = LostBecause.REPLACEMENT_SILENT if replacement else LostBecause.DRIVER_SILENT
    lose_truck(uow, broadcast, assignment, because, SystemReason.DRIVER_TIMEOUT)
    uow.publish(DriverTimedOut(**broadcast_header(broadcast), assignment=assignment_view(assignment)))
