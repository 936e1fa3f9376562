"""Handler: a transporter names the trucks for the slots on hold."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.offers import AcceptResult, ConfirmHold
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus, HoldStatus
from weelo_workers.lifecycles import hold as lifecycle
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, Hold
from weelo_workers.offers.allocation import allocate
from weelo_workers.offers.assigning import (
    accept_result,
    assign,
    lock_free_trucks,
    split_repeated,
)
from weelo_workers.offers.holds import held_slots, reopen_slots
from weelo_workers.ownership import lock_own_hold, offer_unless_blocked


@handles(ConfirmHold)
def confirm_hold(command: ConfirmHold, uow: UnitOfWork) -> AcceptResult:
    """Assign all trucks or none, and reopen the remaining slots. A repeated confirmation returns the first one's result."""
    broadcast, hold = lock_own_hold(uow, command.hold_id, command.transporter_id)
    slots = broadcast_transitions.slots_of(uow, broadcast.id)
    assignments = broadcast_transitions.assignments_of(uow, broadcast.id)
    if hold.status == HoldStatus.CONFIRMED:
        live = [a for a in assignments if a.transporter_id == command.transporter_id and a.status in LIVE]
        before, missing = split_repeated(live, command.trucks)
        if missing:
            _still_held(broadcast, hold, uow)
        uow.replayed = True
        return accept_result(broadcast, slots, before)
    offer = offer_unless_blocked(uow, broadcast, command.transporter_id)
    _still_held(broadcast, hold, uow)
    held = held_slots(hold, slots)
    if len(command.trucks) > len(held):
        raise Rejected(Code.NOT_ENOUGH_AVAILABLE, f"{len(held)} are on hold.", {"remaining": len(held)})
    trucks, _ = lock_free_trucks(uow, command.transporter_id, command.trucks)
    allocations = allocate(trucks, slots, held, partial=False)
    taken = {slot.id for slot, _, _ in allocations}
    reopen_slots(uow, broadcast, [slot for slot in held if slot.id not in taken])
    uow.advance(hold, lifecycle.CONFIRM)
    won = assign(uow, broadcast, slots, assignments, allocations, command.transporter_id, ring=offer.ring)
    return accept_result(broadcast, slots, won)


def _still_held(broadcast: Broadcast, hold: Hold, uow: UnitOfWork) -> None:
    if hold.status == HoldStatus.OPEN and uow.now < hold.expires_at:
        return
    if broadcast.status == BroadcastStatus.CANCELLED:
        raise Rejected(Code.BROADCAST_CANCELLED)
    if broadcast.status == BroadcastStatus.EXPIRED:
        raise Rejected(Code.BROADCAST_EXPIRED)
    raise Rejected(Code.HOLD_EXPIRED, f"The hold is {hold.status}; accept slots that are still open.")
