"""Handler (timer): offer a broadcast within its next ring."""

from __future__ import annotations

from datetime import timedelta

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.offering import OFFER_TRANSITION
from weelo_workers.broadcasts.rings import offer_in_rings, search_rings
from weelo_workers.contracts.broadcasts import WidenBroadcast
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast
from weelo_workers.queries.slots import searching


@handles(WidenBroadcast)
def widen(command: WidenBroadcast, uow: UnitOfWork) -> None:
    """Offer the broadcast to transporters in this ring who have no offer of it, nearest first, and set the next timer.

    If presence finds no transporter there, the broadcast is offered in the following ring in the same transaction, and
    so on.
    """
    unlocked = uow.session.get(Broadcast, command.broadcast_id)
    if unlocked is None:
        return
    # The pickup, the kinds and the radius never change, so the result of a search before the lock is still valid under
    # the lock.
    searched = search_rings(uow, unlocked, broadcast_transitions.slots_of(uow, unlocked.id), command.step)

    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or not _is_due(broadcast, command, uow):
        return
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    if broadcast.status != BroadcastStatus.CREATED and not searching(slots):
        # All open slots are on hold, so none can be offered. This ring is tried again later.
        uow.send(command, at=uow.now + timedelta(seconds=broadcast.policy.radius_step_seconds))
        return
    offer_in_rings(uow, broadcast, slots, searched)


def _is_due(broadcast: Broadcast, command: WidenBroadcast, uow: UnitOfWork) -> bool:
    """Return whether the broadcast is open and this is its next step. A stale or repeated timer does nothing."""
    return (
        broadcast.status in OFFER_TRANSITION
        and broadcast.reoffer_rounds == command.round
        and broadcast.precedes(command.step)
        and uow.now < broadcast.expires_at
    )
