"""Erasures of persons, and how far each has come."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.models.base import Base


class Erasure(Base):
    """One row per executed command `person.erase`.

    Its only personal data are the `request_ids`, which are removed when the erasure ends.
    """

    __tablename__ = "erasures"

    command_id: Mapped[UUID] = mapped_column(primary_key=True)
    person_id: Mapped[UUID]
    requested_at: Mapped[datetime]
    """When the erasure began. It concerns what was stored until then."""
    part: Mapped[str]
    """The name of the part of `person/rows.py` that is erased now."""
    cursor: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    """The key of the last row of this part that was read."""
    request_ids: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    """Request ids that the person's apps have made themselves. By these ids, commands that followed from the person's
    commands are found."""
    changed: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """How many rows were changed, by table."""
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index("erasures_of_a_person", "person_id", "requested_at"),)
