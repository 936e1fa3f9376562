"""The mailbox: one row per command, timer and delivery. The row is the promise behind every 202."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Identity, Index, SmallInteger, or_, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.models.base import Base, Id

UNSETTLED = text("settled_at IS NULL")


class MailboxRow(Base):
    __tablename__ = "mailbox"

    id: Mapped[Id]
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """Order of writing. Among rows about one subject this is the order of its history, since every
    transition of a subject holds its row lock while it writes here."""
    name: Mapped[str]
    queue: Mapped[str]
    subject_id: Mapped[UUID | None]
    payload: Mapped[dict[str, Any]]

    caller_id: Mapped[UUID | None]
    caller_role: Mapped[str | None]
    caller_name: Mapped[str | None]
    caller_phone: Mapped[str | None]
    fingerprint: Mapped[str | None]
    """SHA-256 of method, path and body: the same key with another request is a conflict."""
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    due_at: Mapped[datetime]
    wake_at: Mapped[datetime]
    """When the sweep takes this up if nobody has: a little after it is due, later each time."""
    sweep_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """How often it raised something unexpected."""
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """How many of those who began it on the record have not come back: perhaps it kills whoever executes it."""
    last_error: Mapped[str | None]
    """What went wrong last, in one line."""
    retry_at: Mapped[datetime | None]
    """Not before then, after it went wrong: whatever rings meanwhile."""
    parked_at: Mapped[datetime | None]
    """Given up on after too many attempts; an operator looks at it."""

    settled_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    replayed: Mapped[bool] = mapped_column(server_default=text("false"))
    """The outcome is that of an earlier command (a double tap without a key)."""

    __table_args__ = (
        Index(
            "mailbox_what_the_sweep_looks_for",
            "wake_at",
            postgresql_where=text("settled_at IS NULL AND parked_at IS NULL"),
        ),
        Index("mailbox_unsettled_by_queue", "queue", "due_at", postgresql_where=UNSETTLED),
        Index(
            "mailbox_deliveries_in_order",
            "subject_id",
            "position",
            postgresql_where=text("settled_at IS NULL AND name = 'notifications.deliver'"),
        ),
        Index("mailbox_parked_by_age", "parked_at", postgresql_where=text("parked_at IS NOT NULL")),
        Index("mailbox_settled_by_age", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
    )


def has_failed(row: Any) -> ColumnElement[bool]:
    """Whether a row (the model, or the columns of an alias) is known to fail. One loss may be chance: a restart, a
    power cut, a `kill -9`."""
    return or_(row.attempts > 0, row.crashes > 1)


class Replay(Base):
    """The same request came again.

    A row of its own and no foreign key: whoever executes the command has its mailbox row locked, and a retry
    should not wait for that.
    """

    __tablename__ = "replays"

    command_id: Mapped[Id]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"), index=True)
