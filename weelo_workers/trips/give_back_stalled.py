"""Handler (timer): give back a truck that has not set out."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.reasons import SystemReason
from weelo_workers.contracts.statuses import AssignmentStatus, TripCancelledBecause
from weelo_workers.contracts.trips import AdvanceTrip, GiveBackStalled
from weelo_workers.lifecycles.reoffer import LostBecause
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.backlog import is_unsettled
from weelo_workers.trips.reopening import lose_truck
from weelo_workers.trips.watchdogs import still_watched

LOOK_AGAIN = timedelta(seconds=1)


@handles(GiveBackStalled)
def give_back_stalled(command: GiveBackStalled, uow: UnitOfWork) -> None:
    """Give the truck back, and search for another one. Does nothing if the truck has set out, or with START_LIMIT_SECONDS=0.

    If a report of the driver waits to be executed, the timer is set again, because the driver may have set out in time.
    """
    found = still_watched(uow, command, AssignmentStatus.DRIVER_ACCEPTED)
    if found is None:
        return
    broadcast, assignment = found
    if not broadcast.policy.start_limit_seconds:
        return
    if uow.session.scalar(select(is_unsettled(AdvanceTrip, trip_id=assignment.trip_id))):
        uow.send(command, at=uow.now + LOOK_AGAIN)
        return
    lose_truck(uow, broadcast, assignment, LostBecause.STALLED, SystemReason.STALLED)
    broadcast_transitions.announce_trip_cancelled(uow, broadcast, assignment, TripCancelledBecause.STALLED)
