"""Reads everything that is stored about a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python
from sqlalchemy import ARRAY, Connection, Uuid, any_, bindparam, func, select

from weelo_workers.models import LogLine, Replay
from weelo_workers.models.base import Base
from weelo_workers.person.rows import PARTS, parameters, read_portion
from weelo_workers.person.withheld import shown

PORTION = 5_000

_REPLAYS = select(Replay).where(Replay.command_id == any_(bindparam("ids", type_=ARRAY(Uuid()))))
_EVENTS = Base.metadata.tables["events"]
_READ_EVENTS = (
    select(_EVENTS)
    .join(LogLine, LogLine.event_id == _EVENTS.c.id)
    .where(LogLine.user_id == bindparam("person"), _EVENTS.c.position > bindparam("after"))
    .order_by(_EVENTS.c.position)
    .limit(PORTION)
)


def export(connection: Connection, person: UUID) -> dict[str, Any]:
    """Return `{person, at, tables: {table: [row]}}`, ready for JSON. Tables without a row of the person are left out.

    A row has all its columns, in the order of the table. `events` are those that the person has received, and those
    with the person's data. How other users have marked the person is left out (`withheld.py`). The tables are read one
    after another, so a row that changes meanwhile may be as before or after.
    """
    at: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    tables: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        rows = tables.setdefault(part.table.name, {})
        key = [column.key for column in part.table.primary_key]
        cursor: list[str] | None = None
        while True:
            portion = read_portion(connection, part, parameters(person, at), cursor, PORTION)
            for row in portion.rows:
                del row["is_theirs"]
                if (left := shown(part.table.name, row, person)) is not None:
                    rows[str([row[name] for name in key])] = left
            if (cursor := portion.cursor) is None:
                break
    _add_read_events(connection, person, tables["events"])
    commands = [row["id"] for row in tables["mailbox"].values() if row["caller_id"] == person]
    tables["replays"] = {
        str(row["command_id"]): dict(row)
        for row in connection.execute(_REPLAYS, {"ids": commands}).mappings()
    }
    found = {table: list(rows.values()) for table, rows in sorted(tables.items()) if rows}
    exported: dict[str, Any] = to_jsonable_python({"person": person, "at": at, "tables": found})
    return exported


def _add_read_events(connection: Connection, person: UUID, events: dict[str, Any]) -> None:
    after = 0
    while True:
        rows = connection.execute(_READ_EVENTS, {"person": person, "after": after}).mappings().all()
        for row in rows:
            events[str([row["id"]])] = dict(row)
        if len(rows) < PORTION:
            return
        after = rows[-1]["position"]
