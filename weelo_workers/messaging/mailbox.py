"""Writing to the mailbox and reading outcomes. Commands, timers and deliveries are all rows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import Connection, Table, Uuid, bindparam, exists, func, insert, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert

from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.notifications import CommandOutcome, DeliverEvents
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.models import MailboxRow, Replay
from weelo_workers.models.mailbox import waiting

# How long the bell may take before the sweep takes a row up. A countdown that is alive is milliseconds
# late, hundreds on a busy machine, so a timer gets little grace; a command may rightly wait behind others for a moment.
TIMER_GRACE = timedelta(seconds=0.5)
COMMAND_GRACE = timedelta(seconds=1)

_table = cast(Table, MailboxRow.__table__)
_replays = cast(Table, Replay.__table__)
_clock = func.clock_timestamp()

_POST = (
    upsert(_table)
    .values(received_at=_clock, due_at=_clock, wake_at=_clock + COMMAND_GRACE)
    .on_conflict_do_nothing()
    .returning(_table)
)
_REPLAYED = exists().where(_replays.c.command_id == _table.c.id).label("repeated")
_SEND = (
    insert(_table)
    .values(received_at=_clock, due_at=_clock, wake_at=_clock + COMMAND_GRACE)
    .returning(_table.c.id)
)
_FIND = select(_table, _REPLAYED).where(
    _table.c.id == bindparam("id"), _table.c.caller_id == bindparam("who")
)
_older = _table.alias("older")
_waits = (_older.c.name == DeliverEvents.name, waiting(_older.c))
# By parameter: named by its column, the new row would be every row of the mailbox.
_DELIVERY = insert(_table).returning(
    exists().where(_older.c.subject_id == bindparam("about", type_=Uuid()), *_waits)
)
_but = bindparam("but", type_=Uuid())
_its_position = select(_table.c.position).where(_table.c.id == _but).scalar_subquery()
_WAITING = (
    select(_older.c.id)
    .where(
        _older.c.subject_id == bindparam("subject"),
        *_waits,
        or_(_but.is_(None), _older.c.position < _its_position),
    )
    .order_by(_older.c.position)
    .limit(1)
)
_COMES_AGAIN = upsert(_replays).on_conflict_do_nothing()


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
    row = connection.execute(_POST, values).mappings().one_or_none()
    if row is not None:
        return Posted(outcome({**row, "repeated": False}), fresh=True, conflicting=False)
    # Looked at without a lock: whoever executes it at this moment is not waited for.
    row = connection.execute(_FIND, {"id": command_id, "who": caller.id}).mappings().one()
    if row["fingerprint"] != fingerprint:
        return Posted(outcome(row), fresh=False, conflicting=True)
    connection.execute(_COMES_AGAIN, {"command_id": command_id})
    return Posted(outcome({**row, "repeated": True}), fresh=False, conflicting=False)


def send(connection: Connection, command: Command) -> UUID:
    """Record a command of the system itself, due now by the database's clock. Returns its id."""
    command_id: UUID = connection.execute(_SEND, _values(command, uuid4())).scalar_one()
    return command_id


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
        "wake_at": due + grace,
    }


def write(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(_table), rows)


def write_delivery(connection: Connection, row: dict[str, Any]) -> bool:
    """As `write`, for one delivery. Whether an older one about the same subject waits already."""
    return bool(connection.execute(_DELIVERY, {**row, "about": row["subject_id"]}).scalar_one())


def waiting_delivery(
    connection: Connection, subject_id: UUID, *, other_than: UUID | None = None
) -> UUID | None:
    """The oldest delivery about this subject that waits and has not failed; with `other_than`, only older ones."""
    return connection.execute(_WAITING, {"subject": subject_id, "but": other_than}).scalar()


def find_outcome(connection: Connection, command_id: UUID, caller_id: UUID) -> CommandOutcome | None:
    """The outcome of the caller's own command; somebody else's does not exist for them."""
    row = connection.execute(_FIND, {"id": command_id, "who": caller_id}).mappings().one_or_none()
    return outcome(row) if row else None


def outcome(row: Mapping[Any, Any]) -> CommandOutcome:
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
    return {
        "id": command_id,
        "name": command.name,
        "queue": command.queue,
        "payload": command.model_dump(mode="json"),
    }
