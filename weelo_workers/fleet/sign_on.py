"""Something has changed in what a fleet can offer: presence is told, and the fleet of what it has missed."""

from __future__ import annotations

from datetime import timedelta

from weelo_workers import signing_on
from weelo_workers.contracts.broadcasts import CatchUp
from weelo_workers.contracts.fleet import SignOn
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.presence import PresenceUnknown

AGAIN_AFTER = timedelta(seconds=5)


@handles(SignOn)
def sign_on(command: SignOn, uow: UnitOfWork) -> None:
    """A command and not an act after a commit, since one that got lost would hide free trucks for long."""
    try:
        more = signing_on.sign_on(command.transporter_id)
    except PresenceUnknown:
        uow.send(command, at=uow.now + AGAIN_AFTER)
        return
    if more:
        uow.send(CatchUp(transporter_id=command.transporter_id))
