"""A slot has come back: those who knew of the broadcast hear of it again, and the rings go on."""

from __future__ import annotations

from sqlalchemy import select

from weelo_workers import moves
from weelo_workers.broadcasts.matching import can_take
from weelo_workers.broadcasts.telling import new_broadcast
from weelo_workers.contracts.broadcasts import ReofferBroadcast, WidenBroadcast
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer


@handles(ReofferBroadcast)
def reoffer(command: ReofferBroadcast, uow: UnitOfWork) -> None:
    """Nothing, if the broadcast has moved on since the slot came back: somebody has seen to it."""
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status not in lifecycle.OPEN or broadcast.version != command.version:
        return
    slots = moves.slots_of(uow, broadcast.id)
    keys = {slot.vehicle_key for slot in slots if slot.status == TruckRequestStatus.SEARCHING}
    known = uow.session.execute(
        select(Offer.transporter_id, Offer.distance_km).where(
            Offer.broadcast_id == broadcast.id,
            Offer.declined_at.is_(None),
            can_take(keys, Offer.transporter_id),
        )
    ).all()
    if known:
        distances = {str(offer.transporter_id): offer.distance_km for offer in known}
        uow.publish(new_broadcast(broadcast, slots), distances_km=distances)
    uow.send(WidenBroadcast(broadcast_id=broadcast.id, step=broadcast.radius_step + 1))
