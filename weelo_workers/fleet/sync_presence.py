"""Handler: write a fleet's availability to presence after it has changed."""

from __future__ import annotations

from datetime import timedelta

from weelo_workers import presence_sync
from weelo_workers.contracts.fleet import SyncPresence
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.presence import PresenceUnavailable

RETRY_AFTER = timedelta(seconds=5)


@handles(SyncPresence)
def sync_presence(command: SyncPresence, uow: UnitOfWork) -> None:
    """Copy the fleet's availability from its rows to presence; retry later if Redis does not answer.

    This is a command, not an action after a commit, because a lost update would hide free trucks for long.
    """
    try:
        rows = presence_sync.read_availability(command.transporter_id)
        presence_sync.write_presence(command.transporter_id, rows, heard=command.heard)
    except PresenceUnavailable:
        uow.send(command.model_copy(update={"heard": False}), at=uow.now + RETRY_AFTER)
