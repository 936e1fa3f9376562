"""Handler: a transporter takes slots. Each slot goes to the accept that commits first, and to no other."""

from __future__ import annotations

from weelo_workers.contracts.offers import AcceptResult, AcceptTrucks
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import TruckRequestStatus
from weelo_workers.lifecycles import (
    broadcast as lifecycle,
    hold as hold_lifecycle,
    truck_request as slot_lifecycle,
)
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.offers.allocation import allocate
from weelo_workers.offers.assigning import (
    OFFERED_TO_OTHERS,
    accept_result,
    assign,
    ensure_open,
    lock_free_trucks,
    split_repeated,
)
from weelo_workers.offers.holds import expire_overdue, held_slots, open_hold
from weelo_workers.ownership import lock_offered_with_trucks
from weelo_workers.queries.slots import searching, split_given_back


@handles(AcceptTrucks)
def accept(command: AcceptTrucks, uow: UnitOfWork) -> AcceptResult:
    """Assign slots to these trucks: all of them or none, or with `partial` as many as are open.

    Accepts, the cancellation and the expiry of one broadcast run one after another, under the lock on its row. So a
    rejection gives the true reason. A repeated accept returns the result of the first one.
    """
    offered = lock_offered_with_trucks(uow, command.broadcast_id, command.transporter_id)
    broadcast, slots = offered.broadcast, offered.slots
    live = [a for a in offered.assignments if a.transporter_id == command.transporter_id and a.status in LIVE]
    before, wanted = split_repeated(live, command.trucks)
    if wanted and not command.partial:
        # The accept assigns all trucks or none. If an earlier command has assigned one of them, that truck is busy, so
        # this accept is rejected below.
        before, wanted = [], command.trucks
    if before and not (wanted and broadcast.status in lifecycle.OPEN):
        uow.replayed = True
        return accept_result(broadcast, slots, before)

    if offered.is_blocked:
        raise Rejected(Code.BLOCKED)
    ensure_open(broadcast, uow.now)
    may_fill = sum(slot.status in slot_lifecycle.OPEN for slot in slots) <= len(wanted)
    trucks, keeps_out_others = lock_free_trucks(
        uow, command.transporter_id, wanted, fills=broadcast.id if may_fill else None
    )
    hold = None
    if any(slot.status == TruckRequestStatus.HELD for slot in slots):
        expire_overdue(uow, broadcast)
        hold = open_hold(uow, broadcast.id, command.transporter_id)
    held = held_slots(hold, slots)
    open_slots = [*held, *searching(slots)]
    to_take, given_back = split_given_back(open_slots, offered.assignments, command.transporter_id)
    try:
        allocations = allocate(trucks, slots, to_take, partial=command.partial)
    except Rejected as refused:
        fits = any(
            slot.fits(vehicle) and truck.truck_request_id in (None, slot.id)
            for slot in given_back
            for truck, vehicle, _ in trucks
        )
        if refused.code is Code.REQUEST_ALREADY_TAKEN and fits:
            raise Rejected(Code.SLOT_GIVEN_BACK, OFFERED_TO_OTHERS) from refused
        raise
    if hold is not None and {slot.id for slot in held} <= {slot.id for slot, _, _ in allocations}:
        uow.advance(hold, hold_lifecycle.CONFIRM)
    won = assign(
        uow,
        broadcast,
        slots,
        offered.assignments,
        allocations,
        command.transporter_id,
        ring=offered.ring,
        keeps_out_others=keeps_out_others,
    )
    return accept_result(broadcast, slots, [*before, *won])
