"""Handler: publish events that an earlier version of this program has stored in a row of the mailbox."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from weelo_workers.contracts.notifications import DeliverEvents
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast


@handles(DeliverEvents)
def deliver(command: DeliverEvents, uow: UnitOfWork) -> None:
    """Publish the events as if this transaction had published them, under the locks of their broadcasts."""
    broadcasts = set()
    for event in command.events:
        # An event without a readable broadcast id is skipped here. The command fails later, when this event is written.
        with suppress(KeyError, ValueError, TypeError, AttributeError):
            broadcasts.add(UUID(event.data["broadcastId"]))
    uow.lock_all(Broadcast, sorted(broadcasts))
    uow.publish_stored(command.events)
