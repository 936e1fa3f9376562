"""Sets the timers that watch whether the truck of an assignment moves on. 0 in a setting switches its timer off."""

from __future__ import annotations

from datetime import timedelta

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import GiveBackStalled, RemindToStart, ReportStalled, Watchdog
from weelo_workers.lifecycles.policy import Policy
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment, Broadcast
from weelo_workers.ownership import lock_assignment


def watch_start(uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment) -> None:
    """Set the first timer after the driver has accepted: the reminder or, without reminders, the start limit."""
    limit, reminder = broadcast.policy.start_limit_seconds, broadcast.policy.start_reminder_seconds
    if reminder and (not limit or reminder < limit):
        uow.send(
            RemindToStart(assignment_id=assignment.id, since=assignment.state_changed_at),
            at=assignment.state_changed_at + timedelta(seconds=reminder),
        )
    else:
        watch_start_limit(uow, broadcast, assignment)


def watch_start_limit(
    uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment, *, after_reminder: bool = False
) -> None:
    """Set the timer that gives back a truck that has not set out.

    `after_reminder`: the driver is reminded now. If the reminder is late, the limit is late as well, so that the time
    between the two is not shorter.
    """
    limit = broadcast.policy.start_limit_seconds
    if not limit:
        return
    at = assignment.state_changed_at + timedelta(seconds=limit)
    if after_reminder:
        at = max(at, uow.now + timedelta(seconds=limit - broadcast.policy.start_reminder_seconds))
    uow.send(GiveBackStalled(assignment_id=assignment.id, since=assignment.state_changed_at), at=at)


def watch_pickup(uow: UnitOfWork, broadcast: Broadcast, assignment: Assignment) -> None:
    """Set the timer that watches a truck on its way to the pickup or waiting there. Do nothing in any other status."""
    if seconds := seconds_before_report(broadcast.policy, AssignmentStatus(assignment.status)):
        uow.send(
            ReportStalled(
                assignment_id=assignment.id,
                since=assignment.state_changed_at,
                status=AssignmentStatus(assignment.status),
            ),
            at=assignment.state_changed_at + timedelta(seconds=seconds),
        )


def seconds_before_report(policy: Policy, status: AssignmentStatus) -> float:
    """Return how long a truck may be in this status before it is reported as stalled; 0 if it is never reported."""
    seconds = {
        AssignmentStatus.EN_ROUTE_PICKUP: policy.pickup_limit_seconds,
        AssignmentStatus.AT_PICKUP: policy.pickup_wait_seconds,
    }
    return seconds.get(status, 0)


def still_watched(
    uow: UnitOfWork, command: Watchdog, status: AssignmentStatus
) -> tuple[Broadcast, Assignment] | None:
    """Lock and return broadcast and assignment; None if the assignment has left this status since the timer was set."""
    found = lock_assignment(uow, Assignment.id == command.assignment_id)
    if found is None or found[1].status != status or found[1].state_changed_at != command.since:
        return None
    return found
