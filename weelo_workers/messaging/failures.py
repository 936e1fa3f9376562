"""Records failed attempts: a command pauses after each failure, and is parked after five. An operator can requeue it.

A failing row delays no other row: during its pause no worker and no sweep executes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import Session

from weelo_workers.contracts.queues import TIMERS
from weelo_workers.lifecycles.mailbox import LIFECYCLE, AfterFailure, after_failure
from weelo_workers.models import MailboxRow
from weelo_workers.models.mailbox import active, parked as is_parked
from weelo_workers.randomness import uniform

MAX_COUNTED = 1_000
"""Counting stops here: the columns are smallints, and a timer may fail for weeks."""


class CannotRetry(Exception):
    """A command cannot be requeued. The text is one line with the reason."""


def record_failure(session: Session, command_id: UUID, error: Exception) -> MailboxRow | None:
    """Count a failure, and begin the row's pause or park the row. Return the row; None if it is settled."""
    row = session.get(MailboxRow, command_id, with_for_update=True)
    if row is None or row.state in LIFECYCLE.final:
        return None
    row.attempts = min(row.attempts + 1, MAX_COUNTED)
    row.last_error = summary(error)
    # If the number of sweeps is 0, the sweep wakes a worker for the next attempt instead of executing the command.
    row.sweep_count = 0
    now = clock(session)
    if begin_pause(row, now).parked:
        row.parked_at = now
    return row


def begin_pause(row: MailboxRow, now: datetime) -> AfterFailure:
    """Begin the pause of a failed row. Return its end, and whether the caller has to park the row instead."""
    then = after_failure(
        attempts=row.attempts,
        crashes=row.crashes,
        is_timer=row.queue == TIMERS,
        now=now,
        spread=uniform(0.75, 1.25),
    )
    row.retry_at = row.wake_at = then.retry_at
    return then


def clock(session: Session) -> datetime:
    """Return the database's time."""
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now


def summary(error: Exception) -> str:
    """Return the first line of the error, with its type, at most 500 characters long."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]


# --- for the operator -----------------------------------------------------------------------------------


def requeue(connection: Connection, command_id: UUID) -> str:
    """Reset a parked or pausing command, so that it is retried at once. Return its name. Raises CannotRetry."""
    row = connection.execute(
        select(
            MailboxRow.name,
            MailboxRow.settled_at,
            MailboxRow.status,
            (MailboxRow.attempts + MailboxRow.crashes).label("tries"),
        )
        .where(MailboxRow.id == command_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise CannotRetry("is not in the mailbox (or was settled, and has aged out)")
    if row.settled_at is not None:
        raise CannotRetry(
            f"{row.name} was settled already ({row.status}), at {row.settled_at:%Y-%m-%d %H:%M:%S} UTC"
        )
    if row.tries == 0:
        raise CannotRetry(f"{row.name} is not parked: it is waiting for its turn, and has not failed")
    connection.execute(
        update(MailboxRow)
        .where(MailboxRow.id == command_id)
        .values(
            attempts=0,
            crashes=0,
            sweep_count=0,
            last_error=None,
            parked_at=None,
            retry_at=None,
            wake_at=func.clock_timestamp(),
        )
    )
    return str(row.name)


def parked(connection: Connection, limit: int) -> Sequence[MailboxRow]:
    """Return parked rows, the oldest first."""
    query = select(MailboxRow).where(is_parked(MailboxRow)).order_by(MailboxRow.parked_at)
    return Session(connection).scalars(query.limit(limit)).all()


def failing(connection: Connection, limit: int) -> Sequence[MailboxRow]:
    """Return the rows that failed and will be tried again, oldest first.

    This includes rows whose command was unknown to the workers that tried to execute it.
    """
    query = select(MailboxRow).where(active(MailboxRow), MailboxRow.last_error.is_not(None))
    return Session(connection).scalars(query.order_by(MailboxRow.due_at).limit(limit)).all()
