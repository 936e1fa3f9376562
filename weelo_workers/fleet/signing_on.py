"""After a fleet changed: let presence know what the rows say."""

from __future__ import annotations

from uuid import UUID

from weelo_workers import presence
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.fleets import kinds_if_available


def refresh_presence(uow: UnitOfWork, transporter_id: UUID) -> None:
    """Takes effect after the commit. If it is lost, the next heartbeat asks the rows itself."""
    kinds = kinds_if_available(uow.session, transporter_id)
    if kinds is None:
        uow.after_commit(lambda: presence.offline(transporter_id))
    else:
        uow.after_commit(lambda: presence.online(transporter_id, kinds))
