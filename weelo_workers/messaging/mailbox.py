"""Writing to the mailbox and reading outcomes. Commands, timers and deliveries are all rows of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    Connection,
    Integer,
    RowMapping,
    Table,
    cast as sql_cast,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.notifications import CommandOutcome
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.models import MailboxRow

# How long the bell may take before the sweep takes a row up. A countdown that is alive is milliseconds
# late, so a timer gets little grace; a command may rightly wait behind others for a moment.
TIMER_GRACE = timedelta(seconds=0.25)
COMMAND_GRACE = timedelta(seconds=1)

_table = cast(Table, MailboxRow.__table__)
_clock = func.clock_timestamp()

_inserting = upsert(_table)
# One statement both writes and looks, so that a key posted twice at once has one author.
_POST = (
    _inserting.values(received_at=_clock, due_at=_clock, ring_at=_clock + COMMAND_GRACE)
    .on_conflict_do_update(
        index_elements=["id"],
        set_={
            "replays": _table.c.replays
            + sql_cast(_table.c.fingerprint == _inserting.excluded.fingerprint, Integer)
        },
    )
    .returning(_table, literal_column("(xmax = 0)").label("fresh"))
)


@dataclass(frozen=True, slots=True)
class Posted:
    """What the mailbox says about a command just handed in."""

    outcome: CommandOutcome
    fresh: bool
    """False: the same command had been posted before."""
    conflicting: bool
    """The key had been used for another request."""


def post(
    connection: Connection, command: Command, caller: Caller, command_id: UUID, fingerprint: str
) -> Posted:
    """Record a caller's command. The same `command_id` again changes nothing and returns what is known of it."""
    values = {
        **_values(command, command_id),
        "caller_id": caller.id,
        "caller_role": caller.role,
        "caller_name": caller.name,
        "caller_phone": caller.phone,
        "fingerprint": fingerprint,
    }
    row = connection.execute(_POST, values).mappings().one()
    return Posted(outcome(row), row["fresh"], conflicting=row["fingerprint"] != fingerprint)


def row_for(
    command: Command, *, now: datetime, due_at: datetime | None, subject_id: UUID | None
) -> dict[str, Any]:
    """The row of a command that the system sends to itself: at once, or as a timer."""
    grace = TIMER_GRACE if command.queue == TIMERS else COMMAND_GRACE
    due = max(due_at, now) if due_at else now
    return {
        **_values(command, uuid4()),
        "subject_id": subject_id,
        "received_at": now,
        "due_at": due,
        "ring_at": due + grace,
    }


def write(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(_table), rows)


def find_outcome(connection: Connection, command_id: UUID, caller_id: UUID) -> CommandOutcome | None:
    """The outcome of the caller's own command; somebody else's does not exist for them."""
    row = (
        connection.execute(select(_table).where(_table.c.id == command_id, _table.c.caller_id == caller_id))
        .mappings()
        .one_or_none()
    )
    return outcome(row) if row else None


def outcome(row: RowMapping) -> CommandOutcome:
    return CommandOutcome(
        command_id=row["id"],
        command=row["name"],
        status=row["status"],
        http_status=row["http_status"],
        result=row["result"],
        error=row["error"],
        received_at=row["received_at"],
        settled_at=row["settled_at"],
        replayed=row["replayed"] or row["replays"] > 0,
    )


def _values(command: Command, command_id: UUID) -> dict[str, Any]:
    return {
        "id": command_id,
        "name": command.name,
        "queue": command.queue,
        "payload": command.model_dump(mode="json"),
    }
