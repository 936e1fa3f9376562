"""Handler: a user registers a webhook."""

from __future__ import annotations

from sqlalchemy import func, select

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.webhooks import CreateWebhook, WebhookView
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import User, Webhook
from weelo_workers.queries.log import newest_seq
from weelo_workers.queries.webhooks import webhook_view
from weelo_workers.randomness import new_id
from weelo_workers.webhooks.waking import deliver_from_now_on

MAX_WEBHOOKS = 20
"""The limit on webhooks per user. Each line of the user's log is posted to each of them."""


@handles(CreateWebhook)
def create(command: CreateWebhook, uow: UnitOfWork) -> WebhookView:
    """Insert the webhook (201). It receives the lines that are written from now on.

    Raises Rejected(WEBHOOK_LIMIT).
    """
    # The lock makes the count exact if the user sends several of these commands at once.
    uow.lock(User, command.user_id)
    owned = uow.session.scalar(
        select(func.count()).select_from(Webhook).where(Webhook.user_id == command.user_id)
    )
    if (owned or 0) >= MAX_WEBHOOKS:
        raise Rejected(Code.WEBHOOK_LIMIT, f"Delete one first; a user may have {MAX_WEBHOOKS}.")
    webhook = Webhook(
        id=new_id(),
        user_id=command.user_id,
        url=command.details.url,
        events=list(dict.fromkeys(command.details.events)),
        description=command.details.description,
        created_at=uow.now,
        is_active=True,
        delivered_seq=newest_seq(uow.session.connection(), command.user_id),
        secret_version=1,
        old_secrets=[],
    )
    uow.add(webhook)
    deliver_from_now_on(uow, webhook.id)
    uow.http_status = 201
    return webhook_view(webhook)
