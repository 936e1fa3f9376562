"""Handler: post lines of the log to a webhook again, for its owner."""

from __future__ import annotations

from sqlalchemy import text

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.webhooks import DeliverWebhook, ResendLines, ResendView
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.webhooks.locking import lock_own_webhook

# A line that waits to be resent already gets no second record. So a caller cannot store more records than there are
# lines, however slow the endpoint is.
_RECORD = text("""
    WITH wanted AS (
      SELECT event.id AS event_id, line.seq, event.event
        FROM log_lines line JOIN events event ON event.id = line.event_id
       WHERE line.user_id = :user AND line.seq BETWEEN :first AND :last
         AND (:every_event OR event.event = ANY(:events))
    ), recorded AS (
      INSERT INTO webhook_deliveries (id, webhook_id, event_id, seq, event, kind, status, attempts, at)
      SELECT gen_random_uuid(), :webhook, event_id, seq, event, 'resend', 'pending', 0, :now
        FROM wanted
       WHERE NOT EXISTS (SELECT FROM webhook_deliveries waiting
                          WHERE waiting.webhook_id = :webhook AND waiting.status = 'pending' AND waiting.seq = wanted.seq)
    )
    SELECT count(*) FROM wanted
""")


@handles(ResendLines)
def resend(command: ResendLines, uow: UnitOfWork) -> ResendView:
    """Record the lines of this range that the webhook subscribes to, so that they are posted again with the same ids.

    The cursor does not move. Raises Rejected: WEBHOOK_NOT_FOUND, or INVALID_TRANSITION if the webhook is not active.
    """
    webhook = lock_own_webhook(uow, command.webhook_id, command.user_id)
    if not webhook.is_active:
        raise Rejected(Code.INVALID_TRANSITION, "The webhook is not active: PUT isActive true first.")
    lines = command.lines
    parameters = {
        "webhook": webhook.id,
        "user": webhook.user_id,
        "first": lines.from_seq,
        "last": lines.to_seq,
        "every_event": "*" in webhook.events,
        "events": webhook.events,
        "now": uow.now,
    }
    wanted = uow.session.execute(_RECORD, parameters).scalar_one()
    if wanted:
        uow.send(DeliverWebhook(webhook_id=webhook.id))
    return ResendView(id=webhook.id, from_seq=lines.from_seq, to_seq=lines.to_seq, lines=wanted)
