"""What all tables share: the base class, column types, and constraints on status columns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    DateTime,
    Interval,
    MetaData,
    Text,
    TextClause,
    Uuid,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, mapped_column


class Base(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: Uuid(),
        datetime: DateTime(timezone=True),
        str: Text(),
        dict[str, Any]: JSONB(),
    }


Id = Annotated[UUID, mapped_column(primary_key=True)]


def interval_of(seconds: ColumnElement[Any]) -> ColumnElement[timedelta]:
    """Return the interval of this number of seconds in SQL."""
    years_to_minutes: list[ColumnElement[int]] = [literal_column("0")] * 6
    interval: ColumnElement[timedelta] = func.make_interval(*years_to_minutes, seconds, type_=Interval())
    return interval


def one_of(column: str, states: Iterable[StrEnum], name: str) -> CheckConstraint:
    """Return a check that the text column holds one of the states, or null if the column may be null.

    It is used instead of an enum type, which is harder to change.
    """
    return CheckConstraint(f"{column} IN ({quoted(states)})", name=name)


def status_in(states: Iterable[StrEnum], column: str = "status") -> TextClause:
    """Return `status IN ('a', 'b')` for a partial index, in a fixed order so that Alembic sees no difference."""
    return text(f"{column} IN ({quoted(states)})")


def is_in(column: InstrumentedAttribute[Any], states: Iterable[StrEnum]) -> ColumnElement[bool]:
    """Return the condition `column IN ('a', 'b')` for a query.

    The states are constants in its text. With parameters instead, the plan of a prepared statement could not use an index
    that has this condition.
    """
    return column.in_([literal_column(state) for state in _quoted(states)])


def quoted(states: Iterable[StrEnum]) -> str:
    return ", ".join(_quoted(states))


def _quoted(states: Iterable[StrEnum]) -> list[str]:
    return [f"'{state}'" for state in sorted({state.value for state in states})]
