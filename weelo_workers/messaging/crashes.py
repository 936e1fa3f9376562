"""Commands that may crash the process that executes them.

A process that crashes cannot record its crash. So before an attempt that may crash the process, the bus commits
`crashes + 1` and the pause that follows a crash: it marks the attempt. If the attempt returns, the bus undoes both. The
first attempt at a command is not marked, so a command that succeeds at once costs nothing more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from weelo_workers.contracts.queues import TIMERS
from weelo_workers.lifecycles.mailbox import MARK_CRASH
from weelo_workers.logs.context import extra
from weelo_workers.messaging import failures
from weelo_workers.messaging.claim import ClaimedRow
from weelo_workers.models import MailboxRow
from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.models.mailbox import unsettled

log = logging.getLogger(__name__)

POSSIBLE_CRASH = "the process that executed it may have crashed"


class CrashSuspected(Exception):
    """An earlier attempt did not settle the command, and may have crashed its process.

    `crashed_before`: whether a possible crash was counted before.
    """

    def __init__(self, *, crashed_before: bool) -> None:
        super().__init__(crashed_before)
        self.crashed_before = crashed_before


def may_have_crashed(row: MailboxRow | ClaimedRow) -> bool:
    """Return whether an earlier attempt may have crashed its process.

    A crash is possible if one was counted, or if a sweep has found the row and the command is still not settled. One
    sweep does not count for a timer, because the sweep executes a late timer itself.
    """
    return row.crashes > 0 or row.sweep_count > (1 if row.queue == TIMERS else 0)


@dataclass(frozen=True, slots=True)
class CrashMark:
    """A possible crash that was counted before an attempt."""

    before: Mapping[str, Any]
    """The values of the row's columns before the mark."""
    retry_at: datetime
    """The end of the pause that the mark began. If the row still has this value, no other attempt was made since."""


def mark_possible_crash(session: Session, command_id: UUID) -> CrashMark | None:
    """Count a possible crash before an attempt. Return what `unmark_crash` needs, or None if no attempt may be made now.

    If the command may have crashed too many processes, its row is parked instead.
    """
    # The commit does not wait for the disk. Only a power cut can lose such a commit. In that case the power cut ended
    # the process, so no crash needs to be counted.
    session.execute(text("SET LOCAL synchronous_commit = off"))
    row = session.get(MailboxRow, command_id, with_for_update=True)
    now = failures.clock(session)
    if row is None or row.state not in MARK_CRASH.when:
        return None
    if row.due_at > now or (row.retry_at is not None and row.retry_at > now):
        # No attempt may be made now: another process makes a marked attempt, or the row is in its pause after a
        # failure.
        return None
    before = {name: getattr(row, name) for name in ("last_error", "wake_at", "retry_at", "sweep_count")}
    crashed_before = row.crashes
    row.crashes = min(row.crashes + 1, failures.MAX_COUNTED)
    # The count of sweeps is lowered to one, so that the next sweep wakes a worker for the command instead of executing
    # it.
    row.sweep_count = min(row.sweep_count, 1)
    then = failures.begin_pause(row, now)
    if crashed_before:
        row.last_error = POSSIBLE_CRASH
        outcome = "parked" if then.parked else "failed"
        fields = extra(outcome=outcome, attempt=row.attempts + crashed_before)
        log.error("%s may have crashed its process %d times", row.name, crashed_before, extra=fields)
        if then.parked:
            row.parked_at = now
            return None
    return CrashMark(before, then.retry_at)


def unmark_crash(session: Session, command_id: UUID, mark: CrashMark) -> None:
    """Undo the mark of an attempt that has returned. Values that another attempt has recorded since then are kept."""
    row = update(MailboxRow).where(MailboxRow.id == command_id, unsettled(MailboxRow), MailboxRow.crashes > 0)
    one_less = {"crashes": MailboxRow.crashes - 1}
    as_before = row.where(MailboxRow.retry_at == mark.retry_at).values(**one_less, **mark.before)
    if session.execute(as_before).rowcount == 0:  # type: ignore[attr-defined]
        session.execute(row.values(**one_less))


class CrashGuard:
    """Marks the attempts of one process before they are made, and undoes the marks of those that return.

    If the database is unavailable when an attempt returns, its mark is undone later.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one_at_a_time = threading.Lock()
        self._to_undo: dict[UUID, CrashMark] = {}

    @contextmanager
    def attempt(self, command_id: UUID, suspected: CrashSuspected) -> Iterator[bool]:
        """Mark an attempt before the block of this context manager makes it. Yield False if none may be made now.

        The mark is undone if the block raises. If the block settles the command, the mark remains in the row, where it
        has no effect any more.

        Commands with an earlier possible crash run one at a time in this process. If several ran at once and one of
        them crashed the process, a crash would be counted for each of them.
        """
        with self._one_at_a_time if suspected.crashed_before else nullcontext():
            self.undo_marks()
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                mark = mark_possible_crash(session, command_id)
            if mark is None:
                yield False
                return
            try:
                yield True
            except BaseException:
                self._to_undo[command_id] = mark
                self.undo_marks()
                raise

    def undo_marks(self) -> None:
        """Undo the marks of attempts that have returned.

        While the database is unavailable the marks are kept for the next call.
        """
        for command_id in list(self._to_undo):
            mark = self._to_undo.pop(command_id, None)
            if mark is None:
                continue  # another thread is undoing this mark
            try:
                with Session(self._engine) as session, session.begin():
                    unmark_crash(session, command_id, mark)
            except DATABASE_ERRORS:
                self._to_undo[command_id] = mark
