"""Handler (timer): a hold runs out and its slots reopen."""

from __future__ import annotations

from weelo_workers.contracts.offers import ExpireHold
from weelo_workers.contracts.statuses import HoldStatus
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.offers.holds import expire
from weelo_workers.ownership import lock_hold


@handles(ExpireHold)
def expire_hold(command: ExpireHold, uow: UnitOfWork) -> None:
    """Expire the hold. Does nothing if it was confirmed, released, or ended with its broadcast."""
    broadcast, hold = lock_hold(uow, command.hold_id)
    if hold.status != HoldStatus.OPEN:
        return
    if uow.now < hold.expires_at:
        uow.send(command, at=hold.expires_at)
        return
    expire(uow, broadcast, hold)
