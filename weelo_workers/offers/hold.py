"""Handler: a transporter reserves slots while choosing trucks for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.offers import ExpireHold, HoldSlots, HoldView
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import HoldStatus, TruckRequestStatus
from weelo_workers.contracts.vehicle_kinds import vehicle_key
from weelo_workers.lifecycles import truck_request as slot_lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Hold, Offer, TruckRequest
from weelo_workers.offers.assigning import OFFERED_TO_OTHERS, ensure_open
from weelo_workers.offers.holds import announce_remaining, expire_overdue, hold_view, open_hold
from weelo_workers.ownership import lock_any_broadcast, offer_unless_blocked
from weelo_workers.queries.fleets import free_trucks
from weelo_workers.queries.slots import kinds_of, searching, split_given_back
from weelo_workers.randomness import new_id


@handles(HoldSlots)
def hold(command: HoldSlots, uow: UnitOfWork) -> HoldView:
    """Hold the slots, all or none, for HOLD_SECONDS, at most until the broadcast expires.

    If this transporter has an open hold on the broadcast, it is returned unchanged. After a hold has run out, the
    transporter gets no further hold on that broadcast. The command is rejected if the transporter would then hold more
    slots of a kind, on all broadcasts together, than they have free trucks of that kind.
    """
    broadcast = lock_any_broadcast(uow, command.broadcast_id)
    offer = offer_unless_blocked(uow, broadcast, command.transporter_id)
    expire_overdue(uow, broadcast)
    present = open_hold(uow, broadcast.id, command.transporter_id)
    if present is not None:
        uow.replayed = True
        return hold_view(present, broadcast_transitions.slots_of(uow, broadcast.id))
    ensure_open(broadcast, uow.now)
    expires_at = _until(uow, broadcast, offer)
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    chosen = _choose(command, slots, uow)
    made = Hold(
        id=new_id(),
        broadcast_id=broadcast.id,
        transporter_id=command.transporter_id,
        status=HoldStatus.OPEN,
        state_changed_at=uow.now,
        expires_at=expires_at,
        created_at=uow.now,
    )
    uow.add(made)
    uow.record_created(made, "hold", slots=len(chosen))
    uow.advance_all(chosen, slot_lifecycle.HOLD, hold_id=made.id)
    uow.send(ExpireHold(hold_id=made.id), at=made.expires_at)
    announce_remaining(uow, broadcast, slots)
    return hold_view(made, slots)


def _choose(command: HoldSlots, slots: Sequence[TruckRequest], uow: UnitOfWork) -> list[TruckRequest]:
    """Return the first open slots for which the fleet has free trucks. Raises Rejected if there are fewer such slots."""
    asked = command.request
    key = None
    if asked.vehicle_type is not None and asked.vehicle_subtype is not None:
        key = vehicle_key(asked.vehicle_type, asked.vehicle_subtype)
    if key is not None and all(slot.vehicle_key != key for slot in slots):
        raise Rejected(Code.VEHICLE_TYPE_MISMATCH, "Nobody asked for trucks of this kind here.")
    wanted = [slot for slot in slots if key in (None, slot.vehicle_key)]
    assignments = broadcast_transitions.assignments_of(uow, command.broadcast_id)
    free, given_back = split_given_back(searching(wanted), assignments, command.transporter_id)
    if given_back and not free:
        raise Rejected(Code.SLOT_GIVEN_BACK, OFFERED_TO_OTHERS)
    trucks = Counter(free_trucks(uow.session, command.transporter_id, kinds_of(free)))
    trucks.subtract(_kept_elsewhere(uow, command.transporter_id))
    chosen: list[TruckRequest] = []
    for slot in free:
        if len(chosen) < asked.quantity and trucks[slot.vehicle_key] > 0:
            trucks[slot.vehicle_key] -= 1
            chosen.append(slot)
    if len(chosen) < asked.quantity:
        raise Rejected(
            Code.NOT_ENOUGH_AVAILABLE,
            f"{len(free)} are open, and your fleet has free trucks for {len(chosen)} of them.",
            {"remaining": len(free)},
        )
    return chosen


def _kept_elsewhere(uow: UnitOfWork, transporter_id: UUID) -> list[str]:
    """Return the vehicle key of each slot that this fleet holds on other broadcasts."""
    query = (
        select(TruckRequest.vehicle_key)
        .join(Hold, Hold.id == TruckRequest.hold_id)
        .where(
            Hold.transporter_id == transporter_id,
            Hold.status == HoldStatus.OPEN,
            TruckRequest.status == TruckRequestStatus.HELD,
        )
    )
    return list(uow.session.scalars(query))


def _until(uow: UnitOfWork, broadcast: Broadcast, offer: Offer) -> datetime:
    """Return when a new hold ends. Raises Rejected(HOLD_EXPIRED) if an earlier hold on this broadcast has run out.

    The new hold ends no later than the transporter's released hold would have ended, so no time is gained by releasing
    a hold and holding again. Holds of an earlier round, from before the offer was made again, do not count.
    """
    before = uow.session.scalars(
        select(Hold).where(
            Hold.broadcast_id == broadcast.id,
            Hold.transporter_id == offer.transporter_id,
            Hold.created_at >= offer.offered_at,
            Hold.status.in_({HoldStatus.RELEASED, HoldStatus.EXPIRED}),
        )
    ).all()
    if any(hold.status == HoldStatus.EXPIRED or hold.expires_at <= uow.now for hold in before):
        raise Rejected(Code.HOLD_EXPIRED, "You had your time to choose trucks; accept slots that are open.")
    in_full = uow.now + timedelta(seconds=broadcast.policy.hold_seconds)
    return min([in_full, broadcast.expires_at, *(hold.expires_at for hold in before)])
