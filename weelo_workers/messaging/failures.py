"""What raises something unexpected, or kills whoever executes it: tried again with growing pauses, given up after five
tries, given back by hand.

A row in trouble holds up nobody: it waits apart until its next try, whatever rings for it.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import Command, load
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.lifecycles.mailbox import LIFECYCLE, MARK_CRASH, MAX_ATTEMPTS, AfterFailure, after_failure
from weelo_workers.models import MailboxRow
from weelo_workers.models.mailbox import active, parked as is_parked, unsettled

log = logging.getLogger(__name__)

POSSIBLE_CRASH = "whoever executed it may have died of it"

_MOST_COUNTED = 1_000  # the column is a smallint, and a timer may go on failing for weeks


@dataclass(frozen=True, slots=True)
class CrashMark:
    """A try that was counted as lost beforehand: the row as it was, and what tells that nobody has tried since."""

    before: Mapping[str, Any]
    retry_at: datetime


class UnreadablePayload(Exception):
    """A payload that this version cannot read: which fields, and nothing of what is in them."""


class CannotRetry(Exception):
    """Its text says why, in one line."""


def read_command(name: str, payload: dict[str, object]) -> Command:
    """A stored command. Raises UnreadablePayload, whose text may be logged: names and phones stay where they are."""
    try:
        return load(name, payload)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False, include_context=False)
        fields = [f"{'.'.join(map(str, each['loc'])) or 'payload'}: {each['msg']}" for each in errors[:3]]
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise UnreadablePayload("; ".join(fields) + more) from None


def record_failure(session: Session, command_id: UUID, error: Exception) -> MailboxRow | None:
    """Count a failure: the row waits for its next try, or is parked with the reason. None if it is settled."""
    row = session.get(MailboxRow, command_id, with_for_update=True)
    if row is None or row.state in LIFECYCLE.final:
        return None
    row.attempts = min(row.attempts + 1, _MOST_COUNTED)
    row.last_error = summary(error)
    row.sweep_count = 0  # the next try is rung for, as the first was
    now = _now(session)
    if _wait(row, now).parked:
        row.parked_at = now
    # What went wrong where is worth a page of the log a few times; then a line will do.
    page = error if row.attempts <= MAX_ATTEMPTS else None
    log.error("%s %s failed, try %d: %s", row.name, row.id, row.attempts, row.last_error, exc_info=page)
    return row


def mark_possible_crash(session: Session, command_id: UUID) -> CrashMark | None:
    """Before a try from which perhaps nobody comes back: count it as lost, since whoever is lost counts nothing.

    None: it is not to be tried now. Otherwise what `unmark_crash` needs if somebody does come back, with nothing settled.
    """
    # Nobody waits for the disk: should a power cut undo this, it was not the command that cost the process.
    session.execute(text("SET LOCAL synchronous_commit = off"))
    row = session.get(MailboxRow, command_id, with_for_update=True)
    now = _now(session)
    if row is None or row.state not in MARK_CRASH.when:
        return None
    if row.due_at > now or (row.retry_at is not None and row.retry_at > now):
        return None  # somebody else counts on it at this moment, or it waits
    before = {name: getattr(row, name) for name in ("last_error", "wake_at", "retry_at", "sweep_count")}
    crashed_before = row.crashes
    row.crashes = min(row.crashes + 1, _MOST_COUNTED)
    # the next try is rung for again; that this one was swept stays known
    row.sweep_count = min(row.sweep_count, 1)
    then = _wait(row, now)
    if crashed_before:
        row.last_error = POSSIBLE_CRASH
        log.error("%s %s: may have crashed its worker %d times", row.name, row.id, crashed_before)
        if then.parked:
            row.parked_at = now
            return None
    return CrashMark(before, then.retry_at)


def unmark_crash(session: Session, command_id: UUID, mark: CrashMark) -> None:
    """Somebody came back: whatever went wrong, it did not kill them."""
    row = update(MailboxRow).where(MailboxRow.id == command_id, unsettled(MailboxRow), MailboxRow.crashes > 0)
    one_less = {"crashes": MailboxRow.crashes - 1}
    as_before = row.where(MailboxRow.retry_at == mark.retry_at).values(**one_less, **mark.before)
    if session.execute(as_before).rowcount == 0:  # type: ignore[attr-defined]
        session.execute(row.values(**one_less))  # somebody has tried since: the rest is theirs


def _wait(row: MailboxRow, now: datetime) -> AfterFailure:
    """Make the row wait as long as its failures demand, and return what was decided."""
    then = after_failure(
        attempts=row.attempts,
        crashes=row.crashes,
        is_timer=row.queue == TIMERS,
        now=now,
        spread=random.uniform(0.75, 1.25),
    )
    row.retry_at = row.wake_at = then.retry_at
    return then


def _now(session: Session) -> datetime:
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now


def requeue(connection: Connection, command_id: UUID) -> str:
    """Give a parked command, or a timer in its pause, a fresh start. Returns its name; raises CannotRetry."""
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
    """Those given up on, the oldest first."""
    query = select(MailboxRow).where(is_parked(MailboxRow)).order_by(MailboxRow.parked_at)
    return Session(connection).scalars(query.limit(limit)).all()


def failing(connection: Connection, limit: int) -> Sequence[MailboxRow]:
    """Those that will be tried again, or that nobody who tried knows; the oldest first."""
    query = select(MailboxRow).where(active(MailboxRow), MailboxRow.last_error.is_not(None))
    return Session(connection).scalars(query.order_by(MailboxRow.due_at).limit(limit)).all()


def summary(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
