"""A transporter lets go of a hold."""

from __future__ import annotations

from weelo_workers import moves
from weelo_workers.contracts.offers import DropHold, HoldView
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import HoldStatus
from weelo_workers.lifecycles import hold as lifecycle
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.offers.holding import give_back, hold_view, own


@handles(DropHold)
def drop_hold(command: DropHold, uow: UnitOfWork) -> HoldView:
    """Letting go of what is over is fine, of what was confirmed is INVALID_TRANSITION."""
    broadcast, hold = own(uow, command.hold_id, command.transporter_id)
    if hold.status == HoldStatus.CONFIRMED:
        raise Rejected(Code.INVALID_TRANSITION, "Its trucks have been named.")
    if hold.status == HoldStatus.OPEN:
        give_back(uow, broadcast, hold, lifecycle.RELEASE)
    else:
        uow.replayed = True
    return hold_view(hold, moves.slots_of(uow, broadcast.id))
