"""A transporter takes trucks of a broadcast: the first accept that commits wins a slot, and there is one winner."""

from __future__ import annotations

from weelo_workers import moves
from weelo_workers.contracts.offers import AcceptResult, AcceptTrucks
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.lifecycles import broadcast as lifecycle, hold as hold_lifecycle
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.offers.holding import kept, open_hold, run_out_late_ones
from weelo_workers.offers.seating import seat
from weelo_workers.offers.taking import (
    accept_result,
    own_free_trucks,
    own_live,
    sort_out_repeats,
    still_open,
    take,
)


@handles(AcceptTrucks)
def accept(command: AcceptTrucks, uow: UnitOfWork) -> AcceptResult:
    """Give slots to these trucks: all of them or none, or with `partial` as many as are open.

    The broadcast's row lock puts all accepts, the cancel and the expiry of one broadcast in a row, so
    every loser can be told what really happened. A repeated yes is answered with the first yes.
    """
    broadcast = uow.lock(Broadcast, command.broadcast_id)
    live = own_live(uow, command.broadcast_id, command.transporter_id)
    # Who was not told of a broadcast does not know that it exists (CONTRACT section 2).
    if broadcast is None or live is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    before, wanted = sort_out_repeats(live, command.trucks)
    if wanted and not command.partial:
        before, wanted = [], command.trucks  # not the same accept: all or nothing, and the won ones are busy
    if before and not (wanted and broadcast.status in lifecycle.OPEN):
        uow.replayed = True
        return accept_result(broadcast, moves.slots_of(uow, broadcast.id), before)

    still_open(broadcast, uow.now)
    slots = moves.slots_of(uow, broadcast.id)
    trucks = own_free_trucks(uow, command.transporter_id, wanted)
    hold = None
    if any(slot.status == TruckRequestStatus.HELD for slot in slots):
        run_out_late_ones(uow, broadcast)
        hold = open_hold(uow, broadcast.id, command.transporter_id)
    held = kept(hold, slots)
    seats = seat(trucks, slots, [*held, *_searching(slots)], partial=command.partial)
    if hold is not None and {slot.id for slot in held} <= {slot.id for slot, _, _ in seats}:
        uow.advance(hold, hold_lifecycle.CONFIRM)
    won = take(uow, broadcast, slots, seats, command.transporter_id)
    return accept_result(broadcast, slots, [*before, *won])


def _searching(slots: list[TruckRequest]) -> list[TruckRequest]:
    return [slot for slot in slots if slot.status == TruckRequestStatus.SEARCHING]
