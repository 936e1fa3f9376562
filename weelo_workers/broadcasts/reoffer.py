"""Handler: offer a reopened slot to transporters who have an offer of its broadcast, and go on with the next ring."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.matching import already_offered
from weelo_workers.broadcasts.offering import offer_to
from weelo_workers.contracts.broadcasts import ReofferBroadcast, WidenBroadcast
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast
from weelo_workers.queries.slots import searching


@handles(ReofferBroadcast)
def reoffer(command: ReofferBroadcast, uow: UnitOfWork) -> None:
    """Offer the slot again, unless it has been taken since it was reopened."""
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status not in lifecycle.OPEN:
        return
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    this = [slot for slot in slots if slot.id == command.truck_request_id]
    if not searching(this):
        return
    if those := already_offered(uow.session, broadcast, this):
        offer_to(uow, broadcast, slots, those)
    uow.send(WidenBroadcast(broadcast_id=broadcast.id, step=broadcast.radius_step + 1))
