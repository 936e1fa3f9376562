"""Handler: write a fleet's availability to presence after it has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from weelo_workers import presence_sync
from weelo_workers.contracts.fleet import SyncPresence
from weelo_workers.messaging.handlers import handles, handles_together
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.presence import PresenceUnavailable
from weelo_workers.queries.fleets import fleet_availability

RETRY_AFTER = timedelta(seconds=5)


@handles(SyncPresence)
def sync_presence(command: SyncPresence, uow: UnitOfWork) -> None:
    """Copy the fleet's availability from its rows to presence; retry later if Redis does not answer.

    This is a command, not only an action after a commit, because a lost update would hide free trucks for a long time.
    """
    try:
        rows = presence_sync.read_availability(command.transporter_id)
        presence_sync.write_presence(command.transporter_id, rows, heard=command.heard)
    except PresenceUnavailable:
        uow.send(command.model_copy(update={"heard": False}), at=uow.now + RETRY_AFTER)


@handles_together(SyncPresence)
def sync_presence_in_batches(commands: Sequence[SyncPresence], session: Session) -> None:
    """Copy the availability of many fleets, read by one query. Raises PresenceUnavailable.

    A batch may be executed late, so it ignores `heard`: the app's last message may be old by then.
    """
    fleets = fleet_availability(session, {command.transporter_id for command in commands})
    for transporter_id, rows in fleets.items():
        presence_sync.write_presence(transporter_id, rows, heard=False)
