"""Begins the delivery to a webhook that has become active."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from weelo_workers.contracts.webhooks import DeliverWebhook
from weelo_workers.messaging.unit_of_work import UnitOfWork

# A transaction that began to write a line before the webhook was active does not see the webhook and sends no command.
# Such a transaction ends within this time, because a statement may take at most 10 s (`LIMITS` in models/engine.py).
# The second command below is due after this time, so it finds the lines of such transactions.
OLD_TRANSACTIONS_END_WITHIN = timedelta(seconds=15)


def deliver_from_now_on(uow: UnitOfWork, webhook_id: UUID) -> None:
    """Send the commands that a webhook needs when it becomes active."""
    uow.send(DeliverWebhook(webhook_id=webhook_id))
    uow.send(DeliverWebhook(webhook_id=webhook_id), at=uow.now + OLD_TRANSACTIONS_END_WITHIN)
