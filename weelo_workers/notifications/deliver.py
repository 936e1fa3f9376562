"""Handler: publish events that an earlier version of this program has stored in a row of the mailbox."""

from __future__ import annotations

from weelo_workers.contracts.notifications import DeliverEvents
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork


@handles(DeliverEvents)
def deliver(command: DeliverEvents, uow: UnitOfWork) -> None:
    """Publish the events as if this transaction had published them."""
    uow.publish_stored(command.events)
