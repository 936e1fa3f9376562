"""The rows that a unit of work writes: collected while its handler runs, and written by one statement.

Each part of the statement is one INSERT or UPDATE. Sending them one by one would cost a round trip each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import JSONB

from weelo_workers.models.prepared import prepared

Values = Mapping[str, Any]
Assignments = tuple[tuple[str, Any], ...]
"""Columns, with their values in the form that psycopg2 sends."""


class ChangedMeanwhile(Exception):
    """A row has changed since it was read. The command has had no effect, and can be executed again."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One INSERT or UPDATE. `rows`: how many rows it has to write."""

    sql: str
    parameters: Sequence[Any]
    rows: int


@dataclass(slots=True)
class _Update:
    table: Table
    row_id: UUID
    expected: Values
    """The values that the row had when it was read under a lock."""
    values: dict[str, Any]


@dataclass(slots=True)
class WriteSet:
    """Rows to insert and to update, in the order in which they were given. A row is updated once, with its last values."""

    _inserts: dict[Table, list[Values]] = field(default_factory=dict)
    _updates: dict[tuple[Table, UUID], _Update] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._inserts or self._updates)

    def insert(self, table: Table, *rows: Values) -> None:
        """Insert rows. All rows of one table have the same columns."""
        if rows:
            self._inserts.setdefault(table, []).extend(rows)

    def update(self, table: Table, row_id: UUID, values: Values, *, expected: Values) -> None:
        """Update the row with this id. `expected`: values that the row must still have in the database.

        Raises ValueError for a row that is still to be inserted.
        """
        if any(row.get("id") == row_id for row in self._inserts.get(table, ())):
            raise ValueError(f"a row of {table.name} cannot be inserted and updated by one statement")
        known = self._updates.get((table, row_id))
        if known is None:
            self._updates[table, row_id] = _Update(table, row_id, expected, dict(values))
        else:
            known.values.update(values)

    def write(self, connection: Connection) -> None:
        """Write everything by one statement, and clear the set. Raises ChangedMeanwhile if a row to update has changed."""
        parts = [*self._update_parts(), *(_insert(table, rows) for table, rows in self._inserts.items())]
        self.clear()
        if not parts:
            return
        written = ", ".join(f"part_{number} AS ({part.sql} RETURNING 1)" for number, part in enumerate(parts))
        counts = ", ".join(f"(SELECT count(*) FROM part_{number})" for number in range(len(parts)))
        parameters = tuple(each for part in parts for each in part.parameters)
        statement = f"WITH {written} SELECT {counts}"
        rows = tuple(connection.exec_driver_sql(statement, parameters, prepared("write")).one())
        if rows != tuple(part.rows for part in parts):
            raise ChangedMeanwhile(f"wrote {rows} rows by {[part.sql.split(' SET')[0] for part in parts]}")

    def clear(self) -> None:
        """Discard everything that was not written yet."""
        self._inserts.clear()
        self._updates.clear()

    def _update_parts(self) -> list[_Part]:
        """Return one part for all rows of a table that get the same values."""
        alike: dict[tuple[Table, Assignments, Assignments], list[UUID]] = {}
        for each in self._updates.values():
            key = (each.table, _assignments(each.table, each.values), _assignments(each.table, each.expected))
            alike.setdefault(key, []).append(each.row_id)
        return [_update(*what, row_ids) for what, row_ids in alike.items()]


def _insert(table: Table, rows: Sequence[Values]) -> _Part:
    """Return one INSERT. Its text does not depend on the number of rows, so it is prepared only once."""
    names = ", ".join(f'"{column}"' for column in rows[0])
    sql = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM jsonb_populate_recordset(NULL::{table.name}, %s)"
    return _Part(sql, [to_json(rows).decode()], len(rows))


def _update(table: Table, values: Assignments, expected: Assignments, row_ids: Sequence[UUID]) -> _Part:
    to_set = ", ".join(f'"{column}" = %s' for column, _ in values)
    guards = "".join(f' AND "{column}" IS NOT DISTINCT FROM %s' for column, _ in expected)
    parameters = [
        *(value for _, value in values),
        f"{{{','.join(map(str, row_ids))}}}",
        *(value for _, value in expected),
    ]
    return _Part(
        f"UPDATE {table.name} SET {to_set} WHERE id = ANY (%s::uuid[]){guards}", parameters, len(row_ids)
    )


def _assignments(table: Table, values: Values) -> Assignments:
    return tuple((column, _adapted(table, column, value)) for column, value in values.items())


@lru_cache(maxsize=64)
def _json_columns(table: Table) -> frozenset[str]:
    return frozenset(column.name for column in table.columns if isinstance(column.type, JSONB))


def _adapted(table: Table, column: str, value: Any) -> Any:
    """Return the value as psycopg2 sends it."""
    if value is None:
        return None
    if column in _json_columns(table):
        return to_json(value).decode()
    if isinstance(value, UUID):
        return str(value)
    return value.value if isinstance(value, Enum) else value
