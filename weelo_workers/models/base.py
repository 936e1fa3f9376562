"""What all tables share: column types and the way a status is stored and guarded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, MetaData, Text, TextClause, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
        dict[str, Any]: JSONB(),
    }


Id = Annotated[UUID, mapped_column(primary_key=True)]


def one_of(column: str, states: type[StrEnum], name: str) -> CheckConstraint:
    """The column holds one of the states: plain text with a check, so that adding a state needs no type change."""
    return CheckConstraint(f"{column} IN ({quoted(states)})", name=name)


def status_in(states: Iterable[StrEnum], column: str = "status") -> TextClause:
    """`status IN ('a', 'b')` for a partial index, in a stable order so that migrations compare equal."""
    return text(f"{column} IN ({quoted(states)})")


def quoted(states: Iterable[StrEnum]) -> str:
    return ", ".join(f"'{state.value}'" for state in sorted(states))
