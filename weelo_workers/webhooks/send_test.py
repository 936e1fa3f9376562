"""Handler: post a test event to a webhook, and return how the endpoint answered."""

from __future__ import annotations

import threading

from weelo_workers import webhook_secrets
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import DeliveryKind, DeliveryStatus
from weelo_workers.contracts.webhooks import (
    TEST_EVENT,
    DeliverWebhook,
    SendTest,
    WebhookTestView,
    frame_of_test,
)
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import WebhookDelivery
from weelo_workers.randomness import new_id
from weelo_workers.webhooks.locking import lock_own_webhook, read_own_webhook
from weelo_workers.webhooks.sending import sender

# Each test occupies a background thread of the worker for up to 10 s. The other threads stay free for deliveries.
TESTS_AT_ONCE = 2
_places = threading.BoundedSemaphore(TESTS_AT_ONCE)
RETRY_AFTER_SECONDS = 10


@handles(SendTest)
def send_test(command: SendTest, uow: UnitOfWork) -> WebhookTestView:
    """Post the event `webhook_test`, also to a webhook that is not active, and record the result.

    A success ends the pause of a failing webhook. Raises Rejected: WEBHOOK_NOT_FOUND, or RATE_LIMITED if
    TESTS_AT_ONCE other tests run in this process.
    """
    if not _places.acquire(blocking=False):
        raise Rejected(
            Code.RATE_LIMITED,
            "Other tests have not ended yet.",
            {"retryAfter": RETRY_AFTER_SECONDS},
        )
    try:
        return _post_and_record(command, uow)
    finally:
        _places.release()


def _post_and_record(command: SendTest, uow: UnitOfWork) -> WebhookTestView:
    webhook = read_own_webhook(uow, command.webhook_id, command.user_id)
    versions = webhook_secrets.signing_versions(webhook.secret_version, webhook.old_secrets, uow.now)
    event_id = new_id()
    frame = frame_of_test(event_id, webhook.id, rfc3339(uow.now))
    attempt = sender().post_now(webhook.url, webhook.id, versions, str(event_id), frame)
    # If the webhook was deleted during the post, `lock_own_webhook` rejects the command, and no record is inserted.
    webhook = lock_own_webhook(uow, command.webhook_id, command.user_id)
    uow.add(
        WebhookDelivery(
            id=new_id(),
            webhook_id=webhook.id,
            event_id=event_id,
            event=TEST_EVENT,
            kind=DeliveryKind.TEST,
            status=DeliveryStatus.SUCCEEDED if attempt.delivered else DeliveryStatus.FAILED,
            attempts=1,
            http_status=attempt.http_status,
            error=attempt.error,
            at=uow.now,
        )
    )
    if attempt.delivered and webhook.is_active:
        uow.send(DeliverWebhook(webhook_id=webhook.id, at_once=True))
    return WebhookTestView(
        id=webhook.id,
        event_id=event_id,
        delivered=attempt.delivered,
        http_status=attempt.http_status,
        error=attempt.error,
        seconds=round(attempt.seconds, 3),
    )
