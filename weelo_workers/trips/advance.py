"""Handler: a driver reports the progress of a trip."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import AdvanceTrip, AssignmentView
from weelo_workers.lifecycles import assignment as lifecycle, truck_request as slot_lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Assignment
from weelo_workers.ownership import lock_own_assignment
from weelo_workers.queries.views import assignment_view
from weelo_workers.trips.ending import slot_of
from weelo_workers.trips.watchdogs import watch_pickup


@handles(AdvanceTrip)
def advance(command: AdvanceTrip, uow: UnitOfWork) -> AssignmentView:
    """Move the trip to the reported status. Statuses may be skipped; a repeated report succeeds.

    When the first truck sets out, the broadcast is in progress; with its last trip the broadcast is completed. Raises
    Rejected(INVALID_TRANSITION) for an earlier status.
    """
    broadcast, assignment = lock_own_assignment(uow, Assignment.trip_id == command.trip_id, command.driver_id)
    if assignment.status == command.status:
        uow.replayed = True
        return assignment_view(assignment)
    transition = lifecycle.REACH.get(command.status)
    if transition is None or assignment.status not in transition.when:
        raise Rejected(Code.INVALID_TRANSITION, f"The trip is {assignment.status}.")
    # The rows are read before the changes, because a query after a change makes the unit of work write the change
    # first, which takes one more round trip. The changes below also change these rows in memory, so they are not read
    # again.
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    uow.advance(assignment, transition, occurred_at=command.occurred_at)
    watch_pickup(uow, broadcast, assignment)
    if command.status == AssignmentStatus.COMPLETED:
        uow.advance(slot_of(slots, assignment), slot_lifecycle.COMPLETE)
        broadcast_transitions.trucks_freed(uow, [assignment.transporter_id])
    broadcast_transitions.start_if_under_way(uow, broadcast, slots, assignments)
    broadcast_transitions.announce_assignments(uow, broadcast, [assignment], occurred_at=command.occurred_at)
    broadcast_transitions.complete_if_delivered(uow, broadcast, slots, assignments)
    return assignment_view(assignment)
