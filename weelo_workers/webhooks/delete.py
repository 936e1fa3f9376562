"""Handler: a user deletes a webhook."""

from __future__ import annotations

from weelo_workers.contracts.webhooks import DeletedWebhookView, DeleteWebhook, PurgeDeliveries
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.webhooks.locking import lock_own_webhook


@handles(DeleteWebhook)
def delete(command: DeleteWebhook, uow: UnitOfWork) -> DeletedWebhookView:
    """Delete the webhook now, and its records in batches afterwards. Raises Rejected(WEBHOOK_NOT_FOUND)."""
    webhook = lock_own_webhook(uow, command.webhook_id, command.user_id)
    uow.session.delete(webhook)
    uow.session.flush()
    uow.send(PurgeDeliveries(webhook_id=command.webhook_id))
    return DeletedWebhookView(id=command.webhook_id)
