"""Functions shared by the handlers of holds: find, expire and release holds, and return their views."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.broadcasts import OfferPassedOver, TrucksRemainingUpdate
from weelo_workers.contracts.offers import HoldExpired, HoldView
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.statuses import HoldStatus, TruckRequestStatus
from weelo_workers.lifecycles import hold as lifecycle, truck_request as slot_lifecycle
from weelo_workers.lifecycles.lifecycle import Transition
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Hold, TruckRequest
from weelo_workers.queries.open_offers import in_last_step
from weelo_workers.queries.relations import contracted_transporters
from weelo_workers.queries.slots import searching
from weelo_workers.queries.views import broadcast_header


def open_hold(uow: UnitOfWork, broadcast_id: UUID, transporter_id: UUID) -> Hold | None:
    """Return the transporter's open hold on this broadcast. Called under the broadcast's lock."""
    return uow.session.scalar(
        select(Hold).where(
            Hold.broadcast_id == broadcast_id,
            Hold.transporter_id == transporter_id,
            Hold.status == HoldStatus.OPEN,
        )
    )


def held_slots(hold: Hold | None, slots: Sequence[TruckRequest]) -> list[TruckRequest]:
    """Return the slots on this hold."""
    if hold is None:
        return []
    return [slot for slot in slots if slot.status == TruckRequestStatus.HELD and slot.hold_id == hold.id]


def expire(uow: UnitOfWork, broadcast: Broadcast, hold: Hold) -> None:
    """Expire the hold and notify its transporter."""
    end_early(uow, broadcast, hold, lifecycle.EXPIRE)
    uow.publish(
        HoldExpired(**broadcast_header(broadcast), hold_id=hold.id),
        ToTransporter(transporter_id=hold.transporter_id),
    )


def end_early(uow: UnitOfWork, broadcast: Broadcast, hold: Hold, transition: Transition[HoldStatus]) -> None:
    """End the hold by this transition and reopen its slots. The timer of the next step is not changed."""
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    reopen_slots(uow, broadcast, held_slots(hold, slots))
    uow.advance(hold, transition)
    announce_remaining(uow, broadcast, slots)


def reopen_slots(uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> None:
    """Move held slots back to the state `searching`.

    Transporters who came within reach during the hold have no offer. Usually the next ring or one of their heartbeats
    causes an offer. In the last step neither is certain, so the command for one more portion is sent. It makes offers
    only to transporters without one. If a round has not begun because all slots were on hold, the same command begins
    it. In step 0 heartbeats cause no offers, so a command offers the broadcast to the contracted transporters without
    an offer.
    """
    uow.advance_all(slots, slot_lifecycle.RELEASE)
    if slots and broadcast.is_for_contracted:
        without_offer = contracted_transporters(
            uow.session, broadcast.customer_id, without_offer_of=broadcast.id
        )
        if without_offer:
            uow.send(OfferPassedOver(broadcast_id=broadcast.id, transporter_ids=tuple(sorted(without_offer))))
    if slots and (in_last_step(broadcast) or not broadcast.has_begun):
        uow.send(broadcast_transitions.next_step(broadcast))


def expire_overdue(uow: UnitOfWork, broadcast: Broadcast) -> None:
    """Expire the broadcast's holds that are past their end but whose timers have not run yet."""
    past = select(Hold).where(
        Hold.broadcast_id == broadcast.id, Hold.status == HoldStatus.OPEN, Hold.expires_at <= uow.now
    )
    for hold in uow.session.scalars(past).all():
        expire(uow, broadcast, hold)


def announce_remaining(uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> None:
    uow.publish(TrucksRemainingUpdate(**broadcast_header(broadcast), trucks_remaining=len(searching(slots))))
    broadcast_transitions.index_for_heartbeats(uow, broadcast, slots)


def hold_view(hold: Hold, slots: Sequence[TruckRequest]) -> HoldView:
    return HoldView(
        hold_id=hold.id,
        broadcast_id=hold.broadcast_id,
        status=HoldStatus(hold.status),
        truck_request_ids=[slot.id for slot in held_slots(hold, slots)],
        expires_at=hold.expires_at,
    )
