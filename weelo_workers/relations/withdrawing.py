"""Withdraws the offer of a broadcast that one transporter has."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from weelo_workers import presence
from weelo_workers.broadcast_transitions import send_next_step
from weelo_workers.contracts.broadcasts import CatchUp, OfferWithdrawn
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.statuses import TransitionSubject
from weelo_workers.lifecycles import hold as hold_lifecycle
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Offer
from weelo_workers.offers.holds import end_early, open_hold
from weelo_workers.queries.open_offers import has_open_offer
from weelo_workers.queries.views import broadcast_header

WITHDRAW = "withdraw"
"""The name of this change of an offer in the history."""


def withdraw(uow: UnitOfWork, broadcast: Broadcast, transporter_id: UUID) -> None:
    """Withdraw the offer of this locked broadcast, if there is one, and release the transporter's hold.

    The transporter gets no further event about the broadcast, except about trucks that they have won. They get
    `offer_withdrawn` if the offer was open.
    """
    offer = uow.session.get(Offer, (broadcast.id, transporter_id), populate_existing=True)
    if offer is None or offer.withdrawn_at is not None:
        return
    was_declined = offer.declined_at is not None
    was_open = not was_declined and broadcast.status in OPEN
    offer.withdrawn_at = uow.now
    offer.declined_at = offer.declined_at or uow.now
    offer.may_be_offered_again = False
    uow.session.flush()
    uow.record(
        broadcast.id,
        (TransitionSubject.OFFER, transporter_id),
        WITHDRAW,
        before="declined" if was_declined else "offered",
        after="withdrawn",
        why={},
    )
    if (hold := open_hold(uow, broadcast.id, transporter_id)) is not None:
        end_early(uow, broadcast, hold, hold_lifecycle.RELEASE)
    if was_open:
        uow.publish(
            OfferWithdrawn(**broadcast_header(broadcast)), ToTransporter(transporter_id=transporter_id)
        )
        # The transporter has room for another offer now, so they are offered open broadcasts for which they had no
        # room.
        uow.send(CatchUp(transporter_id=transporter_id))
        uow.after_commit(partial(presence.unmark_full, transporter_id))
        if not has_open_offer(uow.session, broadcast.id):
            send_next_step(uow, broadcast)
