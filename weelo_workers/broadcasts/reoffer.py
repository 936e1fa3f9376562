"""Handler: offer a reopened slot to transporters who have an offer of its broadcast, and go on with the next ring."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import func, or_, select, update

from weelo_workers import broadcast_transitions, presence
from weelo_workers.broadcasts.matching import Candidate, already_offered, search_contracted
from weelo_workers.broadcasts.offering import offer_to, with_room
from weelo_workers.broadcasts.offering_late import offer_late_to
from weelo_workers.contracts.broadcasts import ReofferBroadcast
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.lifecycles import broadcast as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Hold, Offer
from weelo_workers.queries.open_offers import has_open_offer
from weelo_workers.queries.relations import contracted_transporters


@handles(ReofferBroadcast)
def reoffer(command: ReofferBroadcast, uow: UnitOfWork) -> None:
    """Offer the slot again, unless it is taken already, and send the command for the next step.

    In step 0 the slot is also offered to contracted transporters who came online while no slot was open. If the slot is on
    hold, it is offered when the hold ends. The first step of a new round is sent in any case, because no other command
    sends it.
    """
    contracted = _contracted_without_offer(uow, command)
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    if broadcast is None or broadcast.status not in lifecycle.OPEN:
        return
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    slot = next((slot for slot in slots if slot.id == command.truck_request_id), None)
    searching = False
    candidates: list[Candidate] = []
    if slot is not None and slot.is_searching:
        searching = True
        found = already_offered(uow.session, broadcast, slot, new_round=command.new_round)
        candidates = with_room(uow, broadcast, found)
    elif slot is not None and slot.hold_id is not None and slot.status == TruckRequestStatus.HELD:
        # This command is sent again, to be executed when the hold ends. If the hold is already past its end, its timer
        # is late, so the command is executed again in a second.
        ends_at = uow.session.get_one(Hold, slot.hold_id).expires_at
        uow.send(command, at=max(ends_at, uow.now + timedelta(seconds=1)))
    if command.new_round:
        _renew(uow, broadcast, candidates)
    if candidates:
        offer_to(uow, broadcast, slots, candidates)
    if searching and contracted:
        offer_late_to(uow, broadcast.id, contracted)
    if not broadcast.has_begun or (searching and not command.new_round):
        uow.send(broadcast_transitions.next_step(broadcast), at=_not_before(uow, broadcast))


def _contracted_without_offer(uow: UnitOfWork, command: ReofferBroadcast) -> dict[UUID, float | None]:
    """Return the contracted transporters online without an offer, with their distances. Empty unless this is step 0.

    Called before anything is locked, because Redis may be slow to answer. A new round makes step 0 again, which finds
    these transporters by itself.
    """
    unlocked = None if command.new_round else uow.session.get(Broadcast, command.broadcast_id)
    if unlocked is None or not unlocked.is_for_contracted:
        return {}
    found = contracted_transporters(uow.session, unlocked.customer_id, without_offer_of=unlocked.id)
    return search_contracted(found, unlocked).near if found else {}


def _not_before(uow: UnitOfWork, broadcast: Broadcast) -> datetime | None:
    """Return the end of step 0, if contracted transporters still have the offer in it; otherwise None."""
    if broadcast.is_for_contracted and has_open_offer(uow.session, broadcast.id):
        return broadcast.contracted_until
    return None


def _renew(uow: UnitOfWork, broadcast: Broadcast, these: Sequence[Candidate]) -> None:
    """Mark the offers to `these`, and all other offers that are not declined, as made now and not declined.

    Also store in presence again which transporters have the offer. The entries from the first round may have expired,
    and without them each heartbeat of these transporters would send a command without effect.
    """
    ids = [each.transporter_id for each in these]
    uow.session.execute(
        update(Offer)
        .where(
            Offer.broadcast_id == broadcast.id,
            or_(Offer.declined_at.is_(None), Offer.transporter_id.in_(ids)),
        )
        .values(
            first_offered_at=func.coalesce(Offer.first_offered_at, Offer.offered_at),
            offered_at=uow.now,
            declined_at=None,
            decline_reason_code=None,
            may_be_offered_again=False,
        ),
        execution_options={"synchronize_session": False},
    )
    all_ids = list(
        uow.session.scalars(select(Offer.transporter_id).where(Offer.broadcast_id == broadcast.id))
    )
    seconds_left = (broadcast.expires_at - uow.now).total_seconds()
    uow.after_commit(partial(presence.mark_offered, broadcast.id, all_ids, seconds_left))
