"""Handler (timer): remind driver and transporter of a truck that has not set out."""

from __future__ import annotations

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import PickupReminder, RemindToStart
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.views import assignment_view, broadcast_header
from weelo_workers.trips.watchdogs import still_watched, watch_start_limit


@handles(RemindToStart)
def remind_to_start(command: RemindToStart, uow: UnitOfWork) -> None:
    """Publish the reminder, and set the timer that gives the truck back. Does nothing if the truck has moved on.

    With START_REMINDER_SECONDS=0 it only sets that timer.
    """
    found = still_watched(uow, command, AssignmentStatus.DRIVER_ACCEPTED)
    if found is None:
        return
    broadcast, assignment = found
    watch_start_limit(uow, broadcast, assignment, after_reminder=True)
    if broadcast.policy.start_reminder_seconds:
        uow.publish(PickupReminder(**broadcast_header(broadcast), assignment=assignment_view(assignment)))
