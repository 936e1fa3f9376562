"""Interrupts a transaction between two statements: its process is killed, or another worker executes a command.

The other worker's transaction runs in the same process while the first transaction is paused. This needs no threads,
and happens in the same way each time. The second transaction does not wait for locks: if it would have to wait, it is
rolled back, and its command is executed after the first transaction. So scripts can produce every order of two
transactions in which neither waits, and find a missing lock. The tests of races cover deadlocks, and more than two
transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, event, text

from weelo_lab.engine import Engine
from weelo_lab.seeds.scripted_faults import matches
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.models.engine import autocommit_engine, engine

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2ms'"
"""Only the interrupted transaction of this process can hold the lock, so waiting any longer is of no use."""

_OTHER = text("""
    SELECT id, name, queue FROM mailbox
     WHERE settled_at IS NULL AND parked_at IS NULL AND due_at <= clock_timestamp() AND id <> :id
     ORDER BY due_at, received_at, id LIMIT 1
""")


class Killed(BaseException):
    """The process that executes a command was killed. It is no Exception, so that no `except Exception` catches it."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption of the next execution of a command, before a statement of its transaction.

    `statement`: the number of this statement, counted from 1 (the claim). If the transaction has fewer statements, the
    interruption is before the commit. `kills`: whether the process is killed. `delivered_again`: whether the broker
    then delivers the message again. `same`: whether the other worker gets the same message, or that of another command
    that is due. `post`: a function that posts a command for the other worker at this moment. It returns the command's
    wake-up, or None if it posted no command.
    """

    command: str
    statement: int
    kills: bool = False
    delivered_again: bool = False
    same: bool = False
    post: Callable[[], WakeUp | None] | None = None


class Interruptions:
    """Executes commands with the interruptions that a script has prepared. Each happens once."""

    def __init__(self, lab: Engine) -> None:
        self.happened = 0
        self.ended = False
        self._lab = lab
        self._prepared: list[Interruption] = []
        self._now: Interruption | None = None
        self._wake_up: WakeUp | None = None
        self._statements = 0
        self._is_dead = False
        self._is_other = False
        event.listen(engine(), "before_cursor_execute", self._before_statement)
        event.listen(engine(), "commit", self._before_commit)
        event.listen(engine(), "begin", self._begin)
        lab.execute = self._execute

    def close(self) -> None:
        """Interrupt nothing any more."""
        event.remove(engine(), "before_cursor_execute", self._before_statement)
        event.remove(engine(), "commit", self._before_commit)
        event.remove(engine(), "begin", self._begin)

    def prepare(self, interruption: Interruption) -> None:
        """Interrupt the next execution of a command."""
        self._prepared.append(interruption)

    def _execute(self, wake_up: WakeUp) -> None:
        found = next((each for each in self._prepared if matches(each.command, wake_up.name)), None)
        if found is not None and not self.ended:
            self._prepared.remove(found)
            self._now, self._wake_up, self._statements = found, wake_up, 0
        try:
            self._lab.bus.execute(wake_up.id)
        except Killed:
            self._is_dead = False
            self._lab.log.add(self._lab.micros, "kill", id=wake_up.id)
            self._lab.bus = self._lab.new_bus()
            if found is not None and found.delivered_again:
                self._lab.bus.execute(wake_up.id, redelivered=True)
        finally:
            self._now = None

    # --- in the transaction -------------------------------------------------------------------------

    def _before_statement(self, *_: object) -> None:
        if self._is_dead:
            raise Killed
        if self._now is None or self._is_other:
            return
        self._statements += 1
        if self._statements == self._now.statement:
            self._interrupt()

    def _before_commit(self, _: Connection) -> None:
        if self._now is not None and not self._is_other and self._statements > 1:
            self._interrupt()

    def _interrupt(self) -> None:
        interruption, self._now = self._now, None
        assert interruption is not None
        self.happened += 1
        if interruption.kills:
            self._is_dead = True
            raise Killed
        assert self._wake_up is not None
        if interruption.post is not None:
            self._let_another_execute(interruption.post())
        else:
            self._let_another_execute(
                self._wake_up if interruption.same else self._find_other(self._wake_up.id)
            )

    def _find_other(self, but: UUID) -> WakeUp | None:
        with autocommit_engine().connect() as connection:
            found: Row[Any] | None = connection.execute(_OTHER, {"id": but}).one_or_none()
        return WakeUp(found.id, found.name, found.queue) if found is not None else None

    def _let_another_execute(self, wake_up: WakeUp | None) -> None:
        if wake_up is None:
            return
        self._lab.log.add(self._lab.micros, "meanwhile", id=wake_up.id, name=wake_up.name)
        self._is_other = True
        try:
            finished = self._lab.new_bus().execute(wake_up.id)
        finally:
            self._is_other = False
        if not finished:  # The interrupted transaction holds a lock that the other one needs.
            self._lab.after(0, lambda: self._lab.deliver(wake_up))

    def _begin(self, connection: Connection) -> None:
        if self._is_other:
            connection.exec_driver_sql(LOCK_TIMEOUT)
