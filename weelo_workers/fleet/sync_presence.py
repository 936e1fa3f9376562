"""What a fleet can offer has changed: presence is told."""

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
    """A command and not an act after a commit, since one that got lost would hide free trucks for long."""
    try:
        rows = presence_sync.read_availability(command.transporter_id)
        presence_sync.write_presence(command.transporter_id, rows, heard=command.heard)
    except PresenceUnavailable:
        uow.send(command.model_copy(update={"heard": False}), at=uow.now + RETRY_AFTER)
