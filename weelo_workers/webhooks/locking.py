"""Reads a webhook for its owner, with or without a lock."""

from __future__ import annotations

from uuid import UUID

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Webhook
from weelo_workers.queries.webhooks import own_webhook


def lock_own_webhook(uow: UnitOfWork, webhook_id: UUID, user_id: UUID) -> Webhook:
    """Lock and return the webhook. Raises Rejected(WEBHOOK_NOT_FOUND), also if it belongs to another user."""
    webhook = uow.lock(Webhook, webhook_id)
    if webhook is None or webhook.user_id != user_id:
        raise Rejected(Code.WEBHOOK_NOT_FOUND)
    return webhook


def read_own_webhook(uow: UnitOfWork, webhook_id: UUID, user_id: UUID) -> Webhook:
    """Return the webhook without a lock. Raises Rejected(WEBHOOK_NOT_FOUND), also if it belongs to another user."""
    webhook = own_webhook(uow.session, webhook_id, user_id)
    if webhook is None:
        raise Rejected(Code.WEBHOOK_NOT_FOUND)
    return webhook
