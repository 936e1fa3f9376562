"""The per-user event log: a counter per user, and lines `(user, seq) → event` without gaps."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.models.base import Base, Id


class EventRecord(Base):
    """An event, stored once for all its recipients."""

    __tablename__ = "events"

    id: Mapped[Id]
    event: Mapped[str]
    """The event's name on the wire."""
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    """The order of writing. It is assigned under the locks of the recipients' log heads, so it is the order of the lines
    in every log. Events are purged in this order, so that the rest of each log has no gap."""

    __table_args__ = (UniqueConstraint("position", name="events_are_written_one_after_another"),)


class LogHead(Base):
    """The newest `seq` of a user. It is incremented under its row lock, so the numbers have no gaps."""

    __tablename__ = "log_heads"

    user_id: Mapped[Id]
    seq: Mapped[int] = mapped_column(BigInteger)


class LogLine(Base):
    __tablename__ = "log_lines"

    user_id: Mapped[Id]
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    own: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """This recipient's fields, such as the distance to the pickup. They override the event's data."""

    __table_args__ = (UniqueConstraint("user_id", "event_id", name="nobody_is_told_the_same_event_twice"),)
