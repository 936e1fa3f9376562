"""Handler: a user replaces the secret of a webhook."""

from __future__ import annotations

from weelo_workers import webhook_secrets
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.webhooks import RotateSecret, WebhookView
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.webhooks import webhook_view
from weelo_workers.webhook_secrets import MAX_OLD_SECRETS, OLD_SECRET_VALID_FOR
from weelo_workers.webhooks.locking import lock_own_webhook


@handles(RotateSecret)
def rotate_secret(command: RotateSecret, uow: UnitOfWork) -> WebhookView:
    """Begin a new version of the secret. Each earlier one is valid for 24 hours after it was replaced.

    Raises Rejected: WEBHOOK_NOT_FOUND, or TOO_EARLY if MAX_OLD_SECRETS earlier ones are still valid.
    """
    webhook = lock_own_webhook(uow, command.webhook_id, command.user_id)
    valid = webhook_secrets.valid(webhook.old_secrets, uow.now)
    if len(valid) >= MAX_OLD_SECRETS:
        wait = webhook_secrets.valid_until(valid[0]) - uow.now
        raise Rejected(
            Code.TOO_EARLY,
            f"{MAX_OLD_SECRETS} earlier secrets are still valid.",
            {"retryAfter": int(wait.total_seconds()) + 1},
        )
    until = rfc3339(uow.now + OLD_SECRET_VALID_FOR)
    webhook.old_secrets = [*valid, {"version": webhook.secret_version, "until": until}]
    webhook.secret_version += 1
    uow.session.flush()
    return webhook_view(webhook)
