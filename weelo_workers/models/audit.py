"""The audit log: one row per action of an operator, written in the transaction of the action."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.contracts.statuses import AuditOutcome
from weelo_workers.models.base import Base, Id, one_of


class AuditRecord(Base):
    """An action of an operator, also a refused one. `weelo_workers.contracts.admin.AuditView` explains the columns."""

    __tablename__ = "audit"

    id: Mapped[Id]
    at: Mapped[datetime]
    actor_id: Mapped[UUID | None]
    actor: Mapped[str]
    command: Mapped[str]
    command_id: Mapped[UUID | None]
    subject: Mapped[str]
    subject_id: Mapped[UUID | None]
    reason: Mapped[str]
    outcome: Mapped[str]
    code: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))

    __table_args__ = (
        Index("audit_newest_first", "at", "id"),
        Index("audit_of_a_subject", "subject_id", "at"),
        Index("audit_of_an_actor", "actor_id", "at"),
        one_of("outcome", AuditOutcome, "an_action_has_a_known_outcome"),
    )
