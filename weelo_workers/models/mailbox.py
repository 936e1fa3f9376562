"""The mailbox: one row per command, timer and push, and the SQL conditions on the state of such rows.

A row is committed before the API answers 202. `lifecycles/mailbox.py` defines its states and transitions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Index,
    Select,
    SmallInteger,
    Table,
    and_,
    func,
    not_,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, dialect as postgresql
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.lifecycles.mailbox import CHANCE_CRASHES, MailboxState, state_of
from weelo_workers.models.base import Base, Id

REJECTED_OFFER = "status = 'rejected' AND queue = 'offers'"
"""The condition, in SQL, that a command about an offer was rejected, such as an accept that came too late."""


class MailboxRow(Base):
    __tablename__ = "mailbox"

    id: Mapped[Id]
    name: Mapped[str]
    queue: Mapped[str]
    payload: Mapped[dict[str, Any]]

    caller_id: Mapped[UUID | None]
    caller_role: Mapped[str | None]
    caller_name: Mapped[str | None]
    caller_phone: Mapped[str | None]
    fingerprint: Mapped[str | None]
    """SHA-256 of method, path and body: the same key with another request is a conflict."""
    request_id: Mapped[str | None]
    """`X-Request-Id` of the request that sent this command, or of the one that led to it."""
    traceparent: Mapped[str | None]
    """The place in a trace at which the command was sent (W3C Trace Context). Empty while no traces are sent."""
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    due_at: Mapped[datetime]
    wake_at: Mapped[datetime]
    """The sweep takes the row up at this time if it is still unsettled: soon after it is due, then at growing intervals."""
    sweep_count: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """The number of attempts in which the handler raised an unexpected exception."""
    crashes: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """The number of attempts that were recorded beforehand and have not returned: they may have crashed their process."""
    last_error: Mapped[str | None]
    """The last failure, in one line."""
    retry_at: Mapped[datetime | None]
    """No attempt is made before this time, whatever wakes a worker."""
    parked_at: Mapped[datetime | None]
    """The time at which the row was parked after too many attempts. An operator can requeue it."""

    settled_at: Mapped[datetime | None]
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    replayed: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the outcome is that of an earlier command (a double tap without a key)."""

    @property
    def state(self) -> MailboxState:
        """The state of the row as it was loaded."""
        return state_of(
            settled_as=self.status if self.settled_at is not None else None,
            parked=self.parked_at is not None,
            attempts=self.attempts,
            crashes=self.crashes,
        )

    __table_args__ = (
        Index(
            "mailbox_what_the_sweep_looks_for",
            "wake_at",
            postgresql_where=text("settled_at IS NULL AND parked_at IS NULL"),
        ),
        Index("mailbox_unsettled_by_queue", "queue", "due_at", postgresql_where=text("settled_at IS NULL")),
        # This index serves transactions that write a line for a webhook: each searches for a delivery command that
        # waits already.
        Index(
            "mailbox_deliveries_of_a_webhook",
            text("(payload ->> 'webhook_id')"),
            postgresql_where=text("settled_at IS NULL AND queue = 'webhooks'"),
        ),
        Index("mailbox_parked_by_age", "parked_at", postgresql_where=text("parked_at IS NOT NULL")),
        Index("mailbox_settled_by_age", "settled_at", postgresql_where=text("settled_at IS NOT NULL")),
        # This index serves the market figures, which count accepts that were rejected.
        Index("mailbox_rejected_offers", "received_at", postgresql_where=text(REJECTED_OFFER)),
    )


# --- conditions -----------------------------------------------------------------------------------------
# Each function returns a condition on its parameter `row`, which is the columns of the table or of an alias, or the
# model. All conditions on the state of mailbox rows are defined here.

MAILBOX = cast(Table, MailboxRow.__table__)
_COLUMNS = MAILBOX.c


def unsettled(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row has no outcome."""
    return row.settled_at.is_(None)  # type: ignore[no-any-return]


def parked(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is parked."""
    return and_(unsettled(row), row.parked_at.is_not(None))


def active(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is active: it is waiting or retrying, so an attempt will be made."""
    return and_(unsettled(row), row.parked_at.is_(None))


def due(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is active and due."""
    return and_(active(row), row.due_at <= func.clock_timestamp())


def due_later(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is active and not yet due."""
    return and_(active(row), row.due_at > func.clock_timestamp())


def waiting(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is active and has not failed before."""
    return and_(active(row), not_(failed_before(row)))


def retrying(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is active and has failed before."""
    return and_(active(row), failed_before(row))


def failed_before(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that an attempt failed, or that more than CHANCE_CRASHES possible crashes are counted."""
    return or_(row.attempts > 0, row.crashes > CHANCE_CRASHES)


def untroubled(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that no failure and no possible crash is counted.

    This is stricter than `not failed_before`. Beat must stay alive, so while workers respond, beat does not itself
    execute a row with even one possible crash.
    """
    return row.attempts + row.crashes == 0  # type: ignore[no-any-return]


def pause_is_over(row: Any = _COLUMNS) -> ColumnElement[bool]:
    """Return the condition that the row is in no pause after a failure."""
    return or_(row.retry_at.is_(None), row.retry_at <= func.clock_timestamp())


def as_sql(condition: ColumnElement[bool] | Select[Any]) -> str:
    """Return the condition, or the query, as SQL text in parentheses, for a statement that uses no alias for the table."""
    dialect = postgresql()  # type: ignore[no-untyped-call]
    return f"({condition.compile(dialect=dialect, compile_kwargs={'literal_binds': True})})"


class Replay(Base):
    """Records that a client repeated a request.

    The mailbox row is locked while the command is executed. To update that row, or to refer to it by a foreign key,
    would make the repeated request wait for the lock. So this record is a row of another table, without a foreign key.
    """

    __tablename__ = "replays"

    command_id: Mapped[Id]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"), index=True)
