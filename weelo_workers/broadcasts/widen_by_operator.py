"""Handler: offer a broadcast in its next ring before the timer of that ring is due, for an operator."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.offering import OFFER_TRANSITION
from weelo_workers.broadcasts.rings import SearchedRings, offer_in_rings, search_rings
from weelo_workers.contracts.broadcasts import BroadcastView, WidenByOperator
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.ownership import lock_any_broadcast
from weelo_workers.queries.slots import searching
from weelo_workers.queries.views import broadcast_view


@handles(WidenByOperator)
def widen_by_operator(command: WidenByOperator, uow: UnitOfWork) -> BroadcastView:
    """Make the next step, as its timer would, and set the timer of the step after it.

    The timer of this step then does nothing.

    If this step was made since the operator asked for it, the broadcast is returned as it is. Raises Rejected:
    BROADCAST_NOT_FOUND, BROADCAST_CANCELLED, BROADCAST_EXPIRED, BROADCAST_FILLED, and INVALID_TRANSITION if no further
    transporters can be searched.
    """
    unlocked = uow.session.get(Broadcast, command.broadcast_id)
    searched: SearchedRings = ()
    if unlocked is not None:
        # The pickup, the kinds and the radius never change, so the result of a search before the lock is still valid
        # under the lock.
        searched = search_rings(uow, unlocked, broadcast_transitions.slots_of(uow, unlocked.id), command.step)
    broadcast = lock_any_broadcast(uow, command.broadcast_id)
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    _ensure_open(uow, broadcast)
    if broadcast.reoffer_rounds != command.round or not broadcast.precedes(command.step):
        uow.replayed = True
    else:
        _ensure_next(broadcast, slots)
        offer_in_rings(uow, broadcast, slots, searched, note=command.reason)
    return broadcast_view(broadcast, slots, uow.now)


def _ensure_open(uow: UnitOfWork, broadcast: Broadcast) -> None:
    if broadcast.status == BroadcastStatus.CANCELLED:
        raise Rejected(Code.BROADCAST_CANCELLED)
    if broadcast.status == BroadcastStatus.EXPIRED or (
        broadcast.status in lifecycle.OPEN and uow.now >= broadcast.expires_at
    ):
        raise Rejected(Code.BROADCAST_EXPIRED)
    if broadcast.status not in lifecycle.OPEN:
        raise Rejected(Code.BROADCAST_FILLED)


def _ensure_next(broadcast: Broadcast, slots: list[TruckRequest]) -> None:
    """Raise Rejected(INVALID_TRANSITION) if there is no next step to make."""
    if broadcast.status not in OFFER_TRANSITION:
        raise Rejected(Code.INVALID_TRANSITION, f"The {broadcast.kind} is {broadcast.status}.")
    if not searching(slots):
        raise Rejected(
            Code.INVALID_TRANSITION, "All open trucks are on hold. They are offered when the holds end."
        )
    if broadcast.has_reached_all:
        raise Rejected(
            Code.INVALID_TRANSITION,
            "The search has reached its widest radius. Transporters who come online get the offer by themselves.",
        )
