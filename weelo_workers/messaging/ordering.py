"""Commands that are ordered by subject: executed one at a time for each subject, oldest first.

A command class with `ordered_by_subject=True` is executed in this way. One attempt may settle all waiting rows of its
command about its subject, so many rows cost a handful of statements and a single wake-up:

- The transaction that writes such a row queries whether an older row waits. If that row still waits after the commit,
  the writer wakes no worker.
- Claiming a row locks its subject, so two attempts about one subject cannot deadlock over their rows.
- The handler reads its own row together with the others that wait, and settles all of them.
- After its commit, the attempt queries once more, and wakes a worker for the oldest row that has arrived since.

A row that is written between the last two steps is not overlooked: after its commit, its writer queries whether the
older row still waits. If that row is settled by then, the writer wakes a worker; if not, the attempt at that row
commits later, and its last query finds the new row. If the process ends in between, the sweep finds the row.

A row that has failed before is executed alone, so that its next failure does not affect other rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Engine,
    Row,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast as sql_cast,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import Queue
from weelo_workers.lifecycles.mailbox import SUCCEED
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.messaging.write_set import Question, Values
from weelo_workers.models import MailboxRow
from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.models.mailbox import active, as_sql, failed_before, unsettled, waiting

BATCH_WINDOW_SECONDS = 0.05
"""Waking a worker is delayed by this time, so that rows which arrive meanwhile are settled together."""

_mailbox = cast(Table, MailboxRow.__table__)
_older = _mailbox.alias("older")


def is_ordered(name: str) -> bool:
    """Return whether the command of this name is ordered by subject. An unknown command is not."""
    command = REGISTRY.get(name)
    return command is not None and command.ordered_by_subject


def names() -> list[str]:
    """Return the names of all commands that are ordered by subject."""
    return [name for name, command in REGISTRY.items() if command.ordered_by_subject]


# --- claim ----------------------------------------------------------------------------------------------

_lock = func.pg_advisory_xact_lock(func.hashtextextended(sql_cast(_mailbox.c.subject_id, Text), 0))
_is_ordered = _mailbox.c.name == any_(bindparam("ordered_names", type_=ARRAY(Text)))
SUBJECT_LOCK = (
    select(case((and_(_is_ordered, unsettled(_mailbox.c)), sql_cast(_lock, Text))).label("taken"))
    .where(_mailbox.c.id == bindparam("id"))
    .cte("subject_lock")
    .prefix_with("MATERIALIZED")
)
"""The part of the claim that locks the subject of an ordered row.

Nothing is locked for a row that is settled already. If there are many rows about one subject, most of them are settled
together with an older one before they are claimed.
"""


# --- write ----------------------------------------------------------------------------------------------

_IS_CROWDED = (
    f"SELECT EXISTS (SELECT FROM mailbox WHERE subject_id = %s AND name = %s AND {as_sql(waiting())})"
)


def is_crowded(row: Values) -> Question:
    """Return a query for whether an older row of the same command and the same subject is waiting."""
    return Question(_IS_CROWDED, [str(row["subject_id"]), row["name"]])


# --- run ------------------------------------------------------------------------------------------------


def waiting_together(
    session: Session, command_id: UUID, name: str, subject_id: UUID
) -> Sequence[Row[Any, Any]]:
    """Return id and payload of the row `command_id` and of those to settle along with it, oldest first."""
    return session.execute(_TOGETHER, {"own": command_id, "ordered_name": name, "subject": subject_id}).all()


_own = bindparam("own", type_=Uuid())
_own_has_failed = (
    select(failed_before(_older.c, in_marked_attempt=True)).where(_older.c.id == _own).scalar_subquery()
)
_TOGETHER = (
    select(_mailbox.c.id, _mailbox.c.payload)
    .where(
        _mailbox.c.subject_id == bindparam("subject"),
        _mailbox.c.name == bindparam("ordered_name"),
        active(_mailbox.c),
        or_(_mailbox.c.id == _own, and_(not_(failed_before(_mailbox.c)), not_(_own_has_failed))),
    )
    .order_by(_mailbox.c.position)
)


def settle_along(session: Session, command_ids: Collection[UUID], now: datetime) -> None:
    """Settle rows that `waiting_together` returned, as succeeded."""
    session.execute(
        update(MailboxRow)
        .where(MailboxRow.id.in_(command_ids))
        .values(settled_at=now, status=SUCCEED.to.value, http_status=200),
        execution_options={"synchronize_session": False},
    )


# --- after the commit -----------------------------------------------------------------------------------

_before = bindparam("before", type_=Uuid())
_its_position = select(_mailbox.c.position).where(_mailbox.c.id == _before).scalar_subquery()
_OLDEST = (
    select(_older.c.id)
    .where(
        _older.c.subject_id == bindparam("subject"),
        _older.c.name == bindparam("ordered_name"),
        waiting(_older.c),
        or_(_before.is_(None), _older.c.position < _its_position),
    )
    .order_by(_older.c.position)
    .limit(1)
)


def is_covered(engine: Engine, wake_up: WakeUp) -> bool:
    """Return whether an older row is still waiting, so that the row of `wake_up` needs no wake-up.

    The execution of the older row will settle the newer row as well, or wake a worker for it. `engine`: an engine in
    autocommit mode, because the single statement needs no transaction.
    """
    if wake_up.follows is None:
        return False
    return _oldest(engine, wake_up.name, wake_up.follows, before=wake_up.id) is not None


def next_in_subject(engine: Engine, row: MailboxRow | Row[Any]) -> WakeUp | None:
    """Return the wake-up for the oldest waiting row about the subject of `row`; None if there is no such row.

    Return None as well if the command is not ordered by subject, or if the database is unavailable. The sweep will then
    find the rows.
    """
    if row.subject_id is None or not is_ordered(row.name):
        return None
    found = _oldest(engine, row.name, row.subject_id)
    return None if found is None else WakeUp(found, row.name, cast(Queue, row.queue))


def _oldest(engine: Engine, name: str, subject_id: UUID, *, before: UUID | None = None) -> UUID | None:
    parameters = {"ordered_name": name, "subject": subject_id, "before": before}
    with suppress(*DATABASE_ERRORS), engine.connect() as connection:
        return connection.execute(_OLDEST, parameters).scalar()
    return None
