"""Handler: a transporter declines a broadcast, which then leaves their list of offers."""

from __future__ import annotations

from functools import partial

from weelo_workers import broadcast_transitions, presence
from weelo_workers.contracts.broadcasts import CatchUp
from weelo_workers.contracts.offers import DeclineOffer, DeclineResult
from weelo_workers.contracts.statuses import TransitionSubject
from weelo_workers.lifecycles import hold as hold_lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.offers.holds import end_early, open_hold
from weelo_workers.ownership import lock_offer_to_decline
from weelo_workers.queries.open_offers import open_offers_of


@handles(DeclineOffer)
def decline(command: DeclineOffer, uow: UnitOfWork) -> DeclineResult:
    """Mark the offer as declined, and release the transporter's hold on the broadcast.

    If all transporters with the offer have declined it now, the next step follows at once. Such commands run one after
    another, under the broadcast's lock, so exactly one of them is the last. Declining again, or after the broadcast has
    ended, succeeds. Raises Rejected(BROADCAST_NOT_FOUND) if the caller has no offer.
    """
    locked = lock_offer_to_decline(uow, command.broadcast_id, command.transporter_id)
    broadcast, offer = locked.broadcast, locked.offer
    if offer.declined_at is None:
        open_offers = open_offers_of(uow.session, command.transporter_id, uow.now)
        had_room = len(open_offers) < broadcast.policy.max_open_offers
        offer.declined_at = uow.now
        offer.decline_reason_code = command.reason_code
        offer.decline_note = command.reason
        uow.record(
            broadcast.id,
            (TransitionSubject.OFFER, command.transporter_id),
            "decline",
            before="offered",
            after="declined",
            why=broadcast_transitions.reason_details(command.reason_code, command.reason),
        )
        if locked.is_kept_out or not had_room:
            # The transporter now has room for broadcasts that were not offered to them while their list was full.
            # `is_kept_out` is checked as well, because caps differ between policies: the list may have been full for
            # another broadcast and not for this one.
            uow.send(CatchUp(transporter_id=command.transporter_id))
        uow.after_commit(partial(presence.unmark_full, command.transporter_id))
        if not locked.others_may_take_it:
            broadcast_transitions.send_next_step(uow, broadcast)
    # If the system had declined for the transporter earlier, the offer now counts as declined by the transporter.
    offer.may_be_offered_again = False
    hold = open_hold(uow, command.broadcast_id, command.transporter_id)
    if hold is not None:
        end_early(uow, broadcast, hold, hold_lifecycle.RELEASE)
    return DeclineResult(broadcast_id=command.broadcast_id)
