"""Handler: offer a broadcast to a transporter whom its earlier rings did not reach."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from weelo_workers import presence
from weelo_workers.broadcasts.matching import pickup_of
from weelo_workers.broadcasts.offering_late import LateOffers, offer_late_to
from weelo_workers.contracts.broadcasts import OfferLate
from weelo_workers.contracts.statuses import PassedOverBecause
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer
from weelo_workers.queries.open_offers import in_last_step, largest_cap, open_offers_of

# For this long after a transporter could not take a broadcast, their heartbeats cause no further attempt to offer it.
SNOOZE_SECONDS = 60.0


@handles(OfferLate)
def offer_late(command: OfferLate, uow: UnitOfWork) -> None:
    """Offer the broadcast if it is open, the transporter is within its reach, and they can take it.

    Then send the command for the first of the further broadcasts, which the field `then` lists.
    """
    transporter = command.transporter_id
    if asked := uow.session.get(Broadcast, command.broadcast_id):
        here = presence.last_position(transporter)
        km = None if here is None else pickup_of(asked).km_to(here)
        late = offer_late_to(uow, command.broadcast_id, {transporter: km})
        if late and not late.offered:
            _leave_out_of_heartbeats(uow, late, transporter, here)
    if command.then:
        uow.send(OfferLate(broadcast_id=command.then[0], transporter_id=transporter, then=command.then[1:]))


def _leave_out_of_heartbeats(
    uow: UnitOfWork, late: LateOffers, transporter_id: UUID, here: presence.Point | None
) -> None:
    """Snooze the broadcast for this transporter, or mark it in presence as offered if they have an offer of it."""
    broadcast = late.broadcast
    # If hundreds of broadcasts are near, each heartbeat of a transporter without room would otherwise send twenty
    # commands without effect.
    no_room = any(each.because == PassedOverBecause.TOO_MANY_OFFERS for each in late.excluded)
    if no_room and here is not None and not in_last_step(broadcast):
        km = pickup_of(broadcast).km_to(here)
        # `mark_full` stops late offers of all broadcasts farther away than `km`. Their policies may have different
        # caps, so the list counts as full only if it has reached the largest cap.
        if _list_is_full_beyond(uow, transporter_id, here, km, cap=largest_cap(uow.session, broadcast)):
            uow.after_commit(partial(presence.mark_full, transporter_id, km, SNOOZE_SECONDS))
    offered = uow.session.get(Offer, (broadcast.id, transporter_id)) is not None
    leave_out = presence.mark_offered if offered else presence.snooze
    seconds = (broadcast.expires_at - uow.now).total_seconds() if offered else SNOOZE_SECONDS
    uow.after_commit(partial(leave_out, broadcast.id, [transporter_id], seconds))


def _list_is_full_beyond(
    uow: UnitOfWork, transporter_id: UUID, here: presence.Point, km: float, *, cap: int
) -> bool:
    """Return whether the transporter has no room for any broadcast whose pickup is farther away than `km`.

    Only open offers that count against all such broadcasts are counted: their pickups are within `km` of the
    transporter, both by the distance recorded in the offer and from the transporter's present position.
    """
    near = [
        each
        for each in open_offers_of(uow.session, transporter_id, uow.now)
        if each.km is not None and each.km <= km and not each.last_step
        if each.pickup is not None and presence.Point(*each.pickup).km_to(here) <= km
    ]
    return len(near) >= cap
