"""What a fleet can offer has changed: presence is told."""

from __future__ import annotations

from datetime import timedelta

from weelo_workers import signing_on
from weelo_workers.contracts.fleet import SignOn
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.presence import PresenceUnknown

AGAIN_AFTER = timedelta(seconds=5)


@handles(SignOn)
def sign_on(command: SignOn, uow: UnitOfWork) -> None:
    """A command and not an act after a commit, since one that got lost would hide free trucks for long."""
    try:
        rows = signing_on.look(command.transporter_id)
        signing_on.tell_presence(command.transporter_id, rows, heard=command.heard)
    except PresenceUnknown:
        uow.send(command.model_copy(update={"heard": False}), at=uow.now + AGAIN_AFTER)
