"""Handler (timer): tell transporter and customer of a truck that does not arrive at the pickup, or waits there too long."""

from __future__ import annotations

from weelo_workers.contracts.trips import AssignmentStalled, ReportStalled
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.views import assignment_view, broadcast_header
from weelo_workers.trips.watchdogs import seconds_before_report, still_watched


@handles(ReportStalled)
def report_stalled(command: ReportStalled, uow: UnitOfWork) -> None:
    """Publish that the truck has stalled; the assignment does not change.

    Does nothing if the truck has moved on, or if the limit for this status is 0.
    """
    found = still_watched(uow, command, command.status)
    if found is None:
        return
    broadcast, assignment = found
    if not seconds_before_report(broadcast.policy, command.status):
        return
    uow.publish(AssignmentStalled(**broadcast_header(broadcast), assignment=assignment_view(assignment)))
