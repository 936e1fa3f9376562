"""Handler: continue an expired broadcast with the trucks that it has."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import BroadcastView, ContinuePartial
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus, ExpiredBecause
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.ownership import lock_own_broadcast
from weelo_workers.queries.slots import filled
from weelo_workers.queries.views import broadcast_view


@handles(ContinuePartial)
def continue_partial(command: ContinuePartial, uow: UnitOfWork) -> BroadcastView:
    """Set the number of trucks needed to the number of slots that have a truck.

    A repeated command returns the same result.
    """
    broadcast = lock_own_broadcast(uow, command.broadcast_id, command.customer_id, command.kind)
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    won = filled(slots)
    if broadcast.status == BroadcastStatus.EXPIRED:
        if not won:
            raise Rejected(Code.INVALID_TRANSITION, "No truck was won: there is nothing to go on with.")
        broadcast_transitions.advance_and_announce(
            uow, broadcast, lifecycle.CONTINUE, slots, trucks_needed=won
        )
        broadcast_transitions.start_if_under_way(uow, broadcast, slots)
        broadcast_transitions.complete_if_delivered(uow, broadcast, slots)
    elif broadcast.end_reason != ExpiredBecause.PARTLY_FILLED:
        raise Rejected(Code.INVALID_TRANSITION, f"The {broadcast.kind} is {broadcast.status}.")
    return broadcast_view(broadcast, slots, uow.now)
