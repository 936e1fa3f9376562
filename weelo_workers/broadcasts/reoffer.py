"""A slot has come back: those who knew of the broadcast hear of it again, and the rings go on."""

from __future__ import annotations

from weelo_workers import moves
from weelo_workers.broadcasts.matching import knowing
from weelo_workers.broadcasts.telling import offer_to
from weelo_workers.contracts.broadcasts import ReofferBroadcast, WidenBroadcast
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast


@handles(ReofferBroadcast)
def reoffer(command: ReofferBroadcast, uow: UnitOfWork) -> None:
    """Nothing, if the broadcast has moved on since the slot came back: somebody has seen to it."""
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status not in lifecycle.OPEN or broadcast.version != command.version:
        return
    slots = moves.slots_of(uow, broadcast.id)
    if those := knowing(uow.session, broadcast, slots):
        offer_to(uow, broadcast, slots, those)
    uow.send(WidenBroadcast(broadcast_id=broadcast.id, step=broadcast.radius_step + 1))
