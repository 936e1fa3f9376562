"""Queries of webhooks, of their deliveries, and the secret that belongs to an outcome."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    SmallInteger,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from weelo_workers import webhook_secrets
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import DeliveryKind, DeliveryStatus, DisabledReason
from weelo_workers.contracts.webhooks import (
    CreateWebhook,
    DeliveryView,
    RotateSecret,
    WebhookView,
)
from weelo_workers.models import EventRecord, LogLine, Webhook, WebhookDelivery
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.settings import settings

_COMMANDS_WITH_SECRET = frozenset({CreateWebhook.name, RotateSecret.name})


def webhook_view(webhook: Webhook) -> WebhookView:
    return WebhookView(
        id=webhook.id,
        url=webhook.url,
        events=tuple(webhook.events),
        description=webhook.description,
        is_active=webhook.is_active,
        disabled_reason=None if webhook.disabled_reason is None else DisabledReason(webhook.disabled_reason),
        delivered_seq=webhook.delivered_seq,
        failing_since=webhook.failing_since,
        next_attempt_at=webhook.next_attempt_at,
        last_error=webhook.last_error,
        secret_version=webhook.secret_version,
        created_at=webhook.created_at,
    )


def webhooks(session: Session, user_id: UUID, page_request: PageRequest) -> Page:
    """Return a page of the user's webhooks, newest first."""
    query = select(Webhook).where(Webhook.user_id == user_id)
    rows, next_cursor = page_request.apply(session, query, Webhook.created_at, Webhook.id)
    return Page([webhook_view(row) for row in rows], next_cursor)


def own_webhook(session: Session, webhook_id: UUID, user_id: UUID) -> Webhook | None:
    """Return the webhook; None if there is none, or if it belongs to another user."""
    return session.scalar(select(Webhook).where(Webhook.id == webhook_id, Webhook.user_id == user_id))


def with_secret(outcome: CommandOutcome) -> CommandOutcome:
    """Return the outcome, with the secret if the command is CreateWebhook or RotateSecret.

    Only the version of the secret is stored; the secret is derived from it.
    """
    if outcome.command not in _COMMANDS_WITH_SECRET or not isinstance(outcome.result, dict):
        return outcome
    version, webhook_id = outcome.result["secretVersion"], UUID(outcome.result["id"])
    secret = webhook_secrets.secret(settings().webhook_key, webhook_id, version)
    return outcome.model_copy(update={"result": {**outcome.result, "secret": secret}})


# --- deliveries -------------------------------------------------------------------------------------------


def deliveries(
    session: Session, webhook: Webhook, status: DeliveryStatus | None, page_request: PageRequest
) -> Page:
    """Return a page of the webhook's deliveries, newest first: its records, and the lines that are not delivered yet."""
    every = union_all(_recorded(webhook), _undelivered(webhook)).subquery()
    query = select(every)
    if status is not None:
        query = query.where(every.c.status == status.value)
    rows, next_cursor = page_request.apply_to_columns(session, query, every.c.at, every.c.id)
    return Page([_view(row) for row in rows], next_cursor)


def _recorded(webhook: Webhook) -> Any:
    return select(
        WebhookDelivery.id,
        WebhookDelivery.event_id,
        WebhookDelivery.seq,
        WebhookDelivery.event,
        WebhookDelivery.kind,
        WebhookDelivery.status,
        WebhookDelivery.attempts,
        WebhookDelivery.http_status,
        WebhookDelivery.error,
        cast(null(), DateTime(timezone=True)).label("next_attempt_at"),
        WebhookDelivery.at,
    ).where(WebhookDelivery.webhook_id == webhook.id)


def _undelivered(webhook: Webhook) -> Any:
    """Return the query of the lines after the cursor.

    Lines are posted in order, so only the first of them can have been attempted already.
    """
    first = (
        select(func.min(LogLine.seq))
        .join(EventRecord, EventRecord.id == LogLine.event_id)
        .where(*_after_the_cursor(webhook))
        .scalar_subquery()
    )
    is_tried = and_(LogLine.seq == first, literal(webhook.failures > 0))
    given_up = not webhook.is_active and webhook.disabled_reason != DisabledReason.OWNER
    failed: ColumnElement[bool] = or_(is_tried, literal(given_up))
    return (
        select(
            EventRecord.id,
            EventRecord.id.label("event_id"),
            LogLine.seq,
            EventRecord.event,
            literal(DeliveryKind.LOG.value, Text()).label("kind"),
            case((failed, DeliveryStatus.FAILED.value), else_=DeliveryStatus.PENDING.value).label("status"),
            cast(case((is_tried, webhook.failures), else_=0), Integer).label("attempts"),
            case(
                (is_tried, literal(webhook.last_http_status, SmallInteger())),
                else_=cast(null(), SmallInteger),
            ).label("http_status"),
            case(
                (is_tried, literal(webhook.last_error, Text())),
                (
                    literal(given_up),
                    literal("the webhook was disabled before this line was delivered", Text()),
                ),
                else_=cast(null(), Text()),
            ).label("error"),
            case(
                (is_tried, literal(webhook.next_attempt_at, DateTime(timezone=True))),
                else_=cast(null(), DateTime(timezone=True)),
            ).label("next_attempt_at"),
            EventRecord.at,
        )
        .join(EventRecord, EventRecord.id == LogLine.event_id)
        .where(*_after_the_cursor(webhook))
    )


def _after_the_cursor(webhook: Webhook) -> tuple[ColumnElement[bool], ...]:
    is_subscribed = literal(True) if "*" in webhook.events else EventRecord.event.in_(webhook.events)
    return (LogLine.user_id == webhook.user_id, LogLine.seq > webhook.delivered_seq, is_subscribed)


def _view(row: Any) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        event_id=row.event_id,
        seq=row.seq,
        event=row.event,
        kind=DeliveryKind(row.kind),
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        http_status=row.http_status,
        error=row.error,
        next_attempt_at=row.next_attempt_at,
        at=row.at,
    )
