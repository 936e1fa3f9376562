"""Somebody has come within a ring that was told before: they hear of it now, once."""

from __future__ import annotations

from functools import partial

from weelo_workers import moves, presence
from weelo_workers.broadcasts.matching import find, pickup_of, reaches
from weelo_workers.broadcasts.telling import TELLS, make_recipients, step_on
from weelo_workers.contracts.broadcasts import OfferLate
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer

ASK_AGAIN_SECONDS = 60.0


@handles(OfferLate)
def offer_late(command: OfferLate, uow: UnitOfWork) -> None:
    """Nothing, if it is over, they have heard of it, are too far away, or have no free truck for it."""
    here = presence.place_of(command.transporter_id)
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status not in TELLS:
        return
    km = None if here is None else pickup_of(broadcast).km_to(here)
    if uow.now >= broadcast.expires_at or not reaches(broadcast, km):
        return
    slots = moves.slots_of(uow, broadcast.id)
    only_them = presence.Reached({command.transporter_id: km})
    found = find(uow.session, broadcast, slots, only_them, uow.now)
    if told := make_recipients(uow, broadcast, found.candidates, broadcast.radius_step):
        step_on(uow, broadcast, slots, told, why={"step": broadcast.radius_step, "late": True})
    elif not found.candidates:
        # Heard of it, or cannot take it now: heartbeats need not bring it up again for a while.
        heard = uow.session.get(Offer, (broadcast.id, command.transporter_id)) is not None
        remember = presence.mark_told if heard else presence.mark_asked
        seconds = (broadcast.expires_at - uow.now).total_seconds() if heard else ASK_AGAIN_SECONDS
        uow.after_commit(partial(remember, broadcast.id, [command.transporter_id], seconds))
