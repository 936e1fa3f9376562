"""Handler: a transporter releases a hold."""

from __future__ import annotations

from weelo_workers import broadcast_transitions
from weelo_workers.contracts.offers import HoldView, ReleaseHold
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import HoldStatus
from weelo_workers.lifecycles import hold as lifecycle
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.offers.holds import end_early, hold_view
from weelo_workers.ownership import lock_own_hold


@handles(ReleaseHold)
def release_hold(command: ReleaseHold, uow: UnitOfWork) -> HoldView:
    """Release the hold. If it has ended already, return it unchanged. Raises Rejected(INVALID_TRANSITION) if confirmed."""
    broadcast, hold = lock_own_hold(uow, command.hold_id, command.transporter_id)
    if hold.status == HoldStatus.CONFIRMED:
        raise Rejected(Code.INVALID_TRANSITION, "Its trucks have been named.")
    if hold.status == HoldStatus.OPEN:
        end_early(uow, broadcast, hold, lifecycle.RELEASE)
    else:
        uow.replayed = True
    return hold_view(hold, broadcast_transitions.slots_of(uow, broadcast.id))
