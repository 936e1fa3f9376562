"""Handler: offer a broadcast to transporters who had no room for it before and have room now."""

from __future__ import annotations

from weelo_workers import presence
from weelo_workers.broadcasts.matching import pickup_of
from weelo_workers.broadcasts.offering_late import offer_late_to
from weelo_workers.contracts.broadcasts import OfferPassedOver
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast


@handles(OfferPassedOver)
def offer_passed_over(command: OfferPassedOver, uow: UnitOfWork) -> None:
    """Offer the broadcast to those of the transporters who are online within its reach.

    If Redis does not answer, all of them count as online at an unknown distance.
    """
    asked = uow.session.get(Broadcast, command.broadcast_id)
    if asked is None:
        return
    try:
        reach = Reach.everyone() if asked.is_for_contracted else asked.reach
        online = presence.online_within(command.transporter_ids, pickup_of(asked), reach)
    except presence.PresenceUnavailable:
        online = dict.fromkeys(command.transporter_ids)
    offer_late_to(uow, command.broadcast_id, online)
