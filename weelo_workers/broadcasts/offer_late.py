"""Somebody has come within a ring that was told before: they hear of it now, once."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from weelo_workers import moves, presence
from weelo_workers.broadcasts.matching import find, in_last_step, pickup_of, reaches
from weelo_workers.broadcasts.telling import (
    ASK_AGAIN_SECONDS,
    TELLS,
    insert_offers,
    record_passed_over,
    step_on,
)
from weelo_workers.contracts.broadcasts import OfferLate
from weelo_workers.contracts.statuses import PassedOverBecause
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer


@handles(OfferLate)
def offer_late(command: OfferLate, uow: UnitOfWork) -> None:
    """Offer this broadcast, if it is open and in reach and they can take it, and go on with the next one."""
    here = presence.place_of(command.transporter_id)
    _offer(uow, command.broadcast_id, command.transporter_id, here)
    if command.then:
        uow.send(
            OfferLate(
                broadcast_id=command.then[0], transporter_id=command.transporter_id, then=command.then[1:]
            )
        )


def _offer(uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID, here: presence.Point | None) -> None:
    broadcast = uow.lock(Broadcast, broadcast_id)
    if broadcast is None or broadcast.status not in TELLS:
        return
    km = None if here is None else pickup_of(broadcast).km_to(here)
    if uow.now >= broadcast.expires_at or not reaches(broadcast, km):
        return
    slots, step, last_step = moves.slots_of(uow, broadcast.id), broadcast.radius_step, in_last_step(broadcast)
    only_them = presence.Reached({transporter_id: km})
    found = find(uow.session, broadcast, slots, only_them, uow.now, last_step=last_step)
    told, refused = insert_offers(uow, broadcast, found.candidates, step, last_step=last_step)
    if told:
        step_on(uow, broadcast, slots, told, why={"step": step, "late": True})
        return
    record_passed_over(uow, [(broadcast.id, step, each) for each in (*found.left_out, *refused)])
    # Already offered, or they cannot take it now: heartbeats need not bring it up again for a while. With hundreds open
    # around a transporter who has no room, each of their heartbeats would otherwise bring up twenty in vain.
    # They are asked again after what is nearest of it, and after all of it once a decline has made room.
    no_room = any(each.because == PassedOverBecause.TOO_MANY_OFFERS for each in (*found.left_out, *refused))
    if no_room and km is not None and not last_step:
        uow.after_commit(partial(presence.mark_full, transporter_id, km, ASK_AGAIN_SECONDS))
    offered = uow.session.get(Offer, (broadcast.id, transporter_id)) is not None
    remember = presence.mark_told if offered else presence.mark_asked
    seconds = (broadcast.expires_at - uow.now).total_seconds() if offered else ASK_AGAIN_SECONDS
    uow.after_commit(partial(remember, broadcast.id, [transporter_id], seconds))
