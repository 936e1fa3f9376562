"""Handler: a user changes, pauses or re-activates a webhook."""

from __future__ import annotations

from sqlalchemy import text

from weelo_workers.contracts.statuses import DisabledReason
from weelo_workers.contracts.webhooks import UpdateWebhook, WebhookView
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.queries.webhooks import webhook_view
from weelo_workers.webhooks.locking import lock_own_webhook
from weelo_workers.webhooks.waking import deliver_from_now_on

# The new list of events applies to the lines after the cursor. Lines that the earlier list left out must not be posted
# now, so the cursor first moves over them: to just before the first line that the earlier list includes, or to the end
# of the log if there is no such line.
_SKIPPED = text("""
    SELECT COALESCE((SELECT min(line.seq) - 1 FROM log_lines line JOIN events event ON event.id = line.event_id
                      WHERE line.user_id = :user AND line.seq > :cursor
                        AND (event.event = ANY(:events) OR '*' = ANY(:events))),
                    (SELECT seq FROM log_heads WHERE user_id = :user), :cursor)
""")


@handles(UpdateWebhook)
def update(command: UpdateWebhook, uow: UnitOfWork) -> WebhookView:
    """Change the given fields. Raises Rejected(WEBHOOK_NOT_FOUND).

    A webhook that becomes active goes on after the last line that it received. A new URL of a failing webhook, and
    `isActive: true`, cause an attempt at once.
    """
    webhook = lock_own_webhook(uow, command.webhook_id, command.user_id)
    changes = command.changes
    if changes.events is not None:
        webhook.delivered_seq = uow.session.execute(
            _SKIPPED, {"user": webhook.user_id, "cursor": webhook.delivered_seq, "events": webhook.events}
        ).scalar_one()
        webhook.events = list(dict.fromkeys(changes.events))
    if changes.description is not None:
        webhook.description = changes.description
    has_new_url = changes.url is not None and changes.url != webhook.url
    if changes.url is not None:
        webhook.url = changes.url
    if changes.is_active is False:
        if webhook.is_active:
            webhook.is_active = False
            webhook.disabled_reason = DisabledReason.OWNER
    elif changes.is_active or (has_new_url and webhook.is_active):
        webhook.is_active = True
        webhook.disabled_reason = None
        webhook.failures = 0
        webhook.failing_since = webhook.next_attempt_at = None
        webhook.last_error = webhook.last_http_status = None
        deliver_from_now_on(uow, webhook.id)
    elif changes.events is not None and webhook.is_active:
        deliver_from_now_on(uow, webhook.id)
    uow.session.flush()
    return webhook_view(webhook)
