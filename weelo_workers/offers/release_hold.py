"""A hold has lasted its time (timer): its slots come back."""

from __future__ import annotations

from weelo_workers.contracts.offers import ReleaseHold
from weelo_workers.contracts.statuses import HoldStatus
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.offers.holding import own, run_out


@handles(ReleaseHold)
def release_hold(command: ReleaseHold, uow: UnitOfWork) -> None:
    """Does nothing to a hold that was confirmed, let go of, or ended with its broadcast."""
    broadcast, hold = own(uow, command.hold_id, None)
    if hold.status != HoldStatus.OPEN:
        return
    if uow.now < hold.expires_at:
        uow.send(command, at=hold.expires_at)
        return
    run_out(uow, broadcast, hold)
