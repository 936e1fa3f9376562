"""Handler: notify the owner of a webhook that the system has disabled the webhook."""

from __future__ import annotations

from weelo_workers.contracts.recipients import ToUser
from weelo_workers.contracts.webhooks import ReportDisabled, WebhookDisabled
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Webhook


@handles(ReportDisabled)
def report_disabled(command: ReportDisabled, uow: UnitOfWork) -> None:
    """Publish `webhook_disabled`, unless the webhook was deleted meanwhile."""
    webhook = uow.session.get(Webhook, command.webhook_id)
    if webhook is None:
        return
    event = WebhookDisabled(
        webhook_id=webhook.id, url=webhook.url, reason=command.reason, delivered_seq=webhook.delivered_seq
    )
    uow.publish(event, ToUser(user_id=webhook.user_id))
