"""Webhooks of users, and records of what was posted to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.contracts.statuses import DeliveryKind, DeliveryStatus, DisabledReason
from weelo_workers.models.base import Base, Id, one_of


class Webhook(Base):
    """An endpoint to which the lines of its owner's log are posted."""

    __tablename__ = "webhooks"

    id: Mapped[Id]
    user_id: Mapped[UUID]
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSONB())
    description: Mapped[str | None]
    created_at: Mapped[datetime]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_reason: Mapped[str | None]

    delivered_seq: Mapped[int] = mapped_column(BigInteger)
    """The cursor: all lines up to this `seq` are delivered, or the webhook is not subscribed to their events."""
    failures: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """How many attempts in a row have failed. They are attempts at the first line after the cursor."""
    failing_since: Mapped[datetime | None]
    next_attempt_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_http_status: Mapped[int | None] = mapped_column(SmallInteger)
    """The status of the last failed attempt; null if the endpoint did not answer."""

    secret_version: Mapped[int] = mapped_column(server_default=text("1"))
    old_secrets: Mapped[list[dict[str, Any]]] = mapped_column(JSONB(), server_default=text("'[]'"))
    """Earlier versions that are still valid: `{version, until}`."""

    lease_token: Mapped[UUID | None]
    """The sender that may post to this webhook, until `lease_until`."""
    lease_until: Mapped[datetime | None]

    __table_args__ = (
        Index("webhooks_of_a_user", "user_id", "created_at"),
        one_of("disabled_reason", DisabledReason, "a_webhook_is_disabled_for_a_known_reason"),
    )


class WebhookDelivery(Base):
    """A line that was delivered, a line to resend, or a test.

    Lines that are not delivered yet have no record: they are the lines of the log after the webhook's cursor. The name
    of the event is copied, because the log may be purged earlier.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[Id]
    webhook_id: Mapped[UUID]
    event_id: Mapped[UUID]
    seq: Mapped[int | None] = mapped_column(BigInteger)
    event: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(SmallInteger)
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None]
    at: Mapped[datetime]

    __table_args__ = (
        Index("webhook_deliveries_newest_first", "webhook_id", "at", "id"),
        Index(
            "webhook_deliveries_to_resend",
            "webhook_id",
            "at",
            "seq",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("webhook_deliveries_by_age", "at"),
        one_of("kind", DeliveryKind, "a_delivery_is_of_a_known_kind"),
        one_of("status", DeliveryStatus, "a_delivery_has_a_known_status"),
    )
