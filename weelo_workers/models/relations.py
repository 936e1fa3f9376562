"""How customers and transporters have marked each other, and the contracts between them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.models.base import Base


class Relation(Base):
    """The marks of a customer and a transporter, each with its time. The time of a mark that is not set is null.

    A row without any mark is deleted.
    """

    __tablename__ = "relations"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    transporter_id: Mapped[UUID] = mapped_column(primary_key=True)
    blocked_by_customer_at: Mapped[datetime | None]
    blocked_by_transporter_at: Mapped[datetime | None]
    preferred_at: Mapped[datetime | None]
    """When the customer preferred the transporter."""
    contracted_at: Mapped[datetime | None]
    """When an operator recorded a contract of the pair."""

    __table_args__ = (
        CheckConstraint(
            "blocked_by_customer_at IS NULL OR preferred_at IS NULL",
            name="a_customer_either_blocks_or_prefers_a_transporter",
        ),
        Index("relations_of_a_transporter", "transporter_id", "customer_id"),
    )
