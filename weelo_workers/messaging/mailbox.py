"""Writes commands (also timers and pushes) into the mailbox, and reads their outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    cast as cast_to,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from weelo_workers import tracing
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.models import MailboxRow, Replay
from weelo_workers.models.prepared import prepared
from weelo_workers.randomness import new_id
from weelo_workers.request_ids import request_id

TIMER_GRACE = timedelta(seconds=0.5)
"""The sweep takes up a timer when it is overdue for this long.

A countdown fires some milliseconds late; on a busy machine, some hundred milliseconds.
"""

COMMAND_GRACE = timedelta(seconds=1)
"""The same time for other commands, which may have to wait in their queue."""

_table = cast(Table, MailboxRow.__table__)
_replays = cast(Table, Replay.__table__)
_clock = func.clock_timestamp()
_outcome_columns = [column for column in _table.c if column.name != "traceparent"]

_POST = (
    upsert(_table)
    .values(received_at=_clock, due_at=_clock, wake_at=_clock + COMMAND_GRACE)
    .on_conflict_do_nothing()
    .returning(*_outcome_columns)
    .execution_options(**prepared("post"))
)


@lru_cache(maxsize=8)
def _post_unless(condition: ColumnElement[bool]) -> Any:
    """Return the statement that stores a caller's command unless this condition holds. Its parameters are those of `_POST`."""
    given = {
        name: cast_to(bindparam(name, type_=_table.c[name].type), _table.c[name].type)
        for name in (
            *("id", "name", "queue", "payload", "request_id", "traceparent", "fingerprint"),
            *("caller_id", "caller_role", "caller_name", "caller_phone"),
        )
    }
    values = {**given, "received_at": _clock, "due_at": _clock, "wake_at": _clock + COMMAND_GRACE}
    return (
        upsert(_table)
        .from_select(list(values), select(*values.values()).where(~condition))
        .on_conflict_do_nothing()
        .returning(*_outcome_columns)
        .execution_options(**prepared("post_unless"))
    )


_REPLAYED = exists().where(_replays.c.command_id == _table.c.id).label("repeated")
_SEND = (
    insert(_table)
    .values(received_at=_clock, due_at=_clock, wake_at=_clock + COMMAND_GRACE)
    .returning(_table.c.id)
)
_FIND = select(*_outcome_columns, _REPLAYED).where(
    _table.c.id == bindparam("id"), _table.c.caller_id == bindparam("caller_id")
)
_RECORD_REPLAY = upsert(_replays).on_conflict_do_nothing()


@dataclass(frozen=True, slots=True)
class Posted:
    """The result of posting a command."""

    outcome: CommandOutcome
    fresh: bool
    """False if the same command was posted before."""
    conflicting: bool
    """Whether the key was used for another request before."""


def post(
    connection: Connection, command: Command, caller: Caller, command_id: UUID, fingerprint: str
) -> Posted:
    """Store a caller's command. If `command_id` is stored already, this changes nothing and returns its outcome so far."""
    posted = _post(connection, _POST, command, caller, command_id, fingerprint)
    assert posted is not None
    return posted


def post_unless(
    condition: ColumnElement[bool],
    connection: Connection,
    command: Command,
    caller: Caller,
    command_id: UUID,
    fingerprint: str,
) -> Posted | None:
    """Store a caller's command as `post` does, unless the condition holds: then store nothing and return None.

    If `command_id` is stored already, the condition does not matter.
    """
    return _post(connection, _post_unless(condition), command, caller, command_id, fingerprint)


def _post(
    connection: Connection,
    statement: Any,
    command: Command,
    caller: Caller,
    command_id: UUID,
    fingerprint: str,
) -> Posted | None:
    values = {
        "traceparent": None,
        **_values(command, command_id),
        "caller_id": caller.id,
        "caller_role": caller.role,
        "caller_name": caller.name,
        "caller_phone": caller.phone,
        "fingerprint": fingerprint,
    }
    row = connection.execute(statement, values).mappings().one_or_none()
    if row is not None:
        return Posted(outcome({**row, "repeated": False}), fresh=True, conflicting=False)
    # The row is read without a lock, so that this call does not wait for a worker that is executing the command.
    row = connection.execute(_FIND, {"id": command_id, "caller_id": caller.id}).mappings().one_or_none()
    if row is None:
        return None
    if row["fingerprint"] != fingerprint:
        return Posted(outcome(row), fresh=False, conflicting=True)
    connection.execute(_RECORD_REPLAY, {"command_id": command_id})
    return Posted(outcome({**row, "repeated": True}), fresh=False, conflicting=False)


def send(connection: Connection, command: Command) -> UUID:
    """Store a command of the system itself, due now by the database's clock. Return its id."""
    command_id: UUID = connection.execute(_SEND, _values(command, new_id())).scalar_one()
    return command_id


def row_for(command: Command, *, now: datetime, due_at: datetime | None) -> dict[str, Any]:
    """Return the row of a command that the system sends to itself: due at once, or as a timer at `due_at`."""
    grace = TIMER_GRACE if command.queue == TIMERS else COMMAND_GRACE
    due = max(due_at, now) if due_at else now
    return {
        **_values(command, new_id()),
        "received_at": now,
        "due_at": due,
        "wake_at": due + grace,
    }


def find_outcome(connection: Connection, command_id: UUID, caller_id: UUID) -> CommandOutcome | None:
    """Return the outcome of this caller's command; None if no such command is stored, or if another caller sent it."""
    row = connection.execute(_FIND, {"id": command_id, "caller_id": caller_id}).mappings().one_or_none()
    return outcome(row) if row else None


def outcome(row: Mapping[Any, Any]) -> CommandOutcome:
    """Return the outcome that a row holds. `row["repeated"]`: whether a client has repeated the request."""
    return CommandOutcome(
        command_id=row["id"],
        command=row["name"],
        status=row["status"],
        http_status=row["http_status"],
        result=row["result"],
        error=row["error"],
        received_at=row["received_at"],
        settled_at=row["settled_at"],
        replayed=row["replayed"] or row["repeated"],
    )


def _values(command: Command, command_id: UUID) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": command_id,
        "name": command.name,
        "queue": command.queue,
        "payload": command.model_dump(mode="json"),
        # A command that another command sends gets the request id of its sender, so that one id finds the log lines of
        # both.
        "request_id": request_id.get(),
    }
    if tracing.are_on():
        values["traceparent"] = tracing.traceparent()
    return values
