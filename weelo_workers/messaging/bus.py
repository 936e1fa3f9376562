"""The bus executes commands: each in one transaction, from the claim of its row to its outcome.

Every command, timer and push passes here, whether a worker, the sweep or a test executes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import cast
from uuid import UUID

from sqlalchemy import Engine, bindparam, update
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from weelo_workers import tracing
from weelo_workers.contracts.queues import TIMERS, Queue
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.logs import context
from weelo_workers.messaging import command_log, crashes, failures
from weelo_workers.messaging.callers import KnownCallers, caller_of, ensure_user
from weelo_workers.messaging.claim import ClaimedRow, claim
from weelo_workers.messaging.handlers import event_writer, handler_for
from weelo_workers.messaging.run import RejectedAfterWriting, reject_again, run
from weelo_workers.messaging.settle import settle
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.messaging.wakeup import BrokerUnavailable, Waker, WakeUp
from weelo_workers.messaging.write_set import ChangedMeanwhile
from weelo_workers.metrics import counters
from weelo_workers.models.engine import DATABASE_ERRORS, is_contention, is_disconnect, is_outage
from weelo_workers.models.mailbox import MAILBOX
from weelo_workers.request_ids import request_id

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())


_NOTE_UNKNOWN = (
    update(MAILBOX)
    .where(MAILBOX.c.id == bindparam("id_"))
    .values(last_error="the worker that tried it does not know this command")
)


def _may_succeed_at_once(error: BaseException) -> bool:
    return is_contention(error) or is_disconnect(error) or isinstance(error, ChangedMeanwhile)


@dataclass(frozen=True, slots=True)
class AfterCommit:
    """What the bus does after the commit of an attempt."""

    wake_ups: list[WakeUp] = field(default_factory=list)
    acts: list[Callable[[], None]] = field(default_factory=list)
    """The handler's actions outside the database."""
    settled: command_log.Settled | None = None


class Bus:
    """Executes commands, given their ids, in one database, and wakes workers through one waker."""

    def __init__(
        self,
        engine: Engine,
        waker: Waker,
        after_commit_executor: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """`after_commit_executor`: runs the actions after a commit (wake-ups, presence, live stream) in another thread.

        A slow Redis then does not delay the next command. Without an executor, `execute` runs these actions before it
        returns.
        """
        self.engine = engine
        self.waker = waker
        self.after_commit_executor = after_commit_executor
        self._known_callers = KnownCallers()
        self._crash_guard = crashes.CrashGuard(engine)

    def execute(self, command_id: UUID, *, swept: bool = False, redelivered: bool = False) -> bool:
        """Settle the command if it is due and unsettled. Return False if an error was raised.

        The error is recorded in the row, and the sweep tries the command again. `redelivered`: the message was
        delivered to another process before, and that process may have crashed while it executed the command.
        """
        before, unbound = request_id.set(None), context.bind(command_id=command_id)
        try:
            return self._execute(command_id, swept=swept, redelivered=redelivered)
        finally:
            tracing.end_command()
            context.restore(unbound)
            request_id.reset(before)

    def _execute(self, command_id: UUID, *, swept: bool, redelivered: bool) -> bool:
        began = time.monotonic()
        try:
            then = self._settle(command_id, swept=swept, redelivered=redelivered)
        except Exception as error:
            self._record_failure(command_id, error, time.monotonic() - began)
            tracing.end_command(error)
            return False
        if then.settled is not None:
            command_log.settled(then.settled, time.monotonic() - began)
        self.unmark_crashes()
        # The executor's thread gets the request id and the log fields of this command, so that its log lines contain
        # them.
        afterwards = partial(copy_context().run, partial(self._run_after_commit, then))
        if self.after_commit_executor is None:
            afterwards()
        elif then.acts or then.wake_ups:
            self.after_commit_executor(afterwards)
        return True

    def unmark_crashes(self) -> None:
        """Undo the crash marks that could not be undone earlier, because the database was unavailable."""
        self._crash_guard.undo_marks()

    def wake(self, wake_up: WakeUp) -> None:
        """Wake a worker. If the broker is unavailable, do nothing: the sweep will find the row."""
        with suppress(BrokerUnavailable):
            self.waker.wake(wake_up)

    def wake_soon(self, wake_up: WakeUp) -> None:
        """Wake a worker as `wake` does, in the thread of `after_commit_executor` if there is one."""
        if self.after_commit_executor is None:
            self.wake(wake_up)
        else:
            self.after_commit_executor(partial(self.wake, wake_up))

    # --- one attempt ------------------------------------------------------------------------------------

    def _settle(self, command_id: UUID, *, swept: bool, redelivered: bool) -> AfterCommit:
        try:
            return self._with_retries(command_id, swept=swept, redelivered=redelivered)
        except crashes.CrashSuspected as suspected:
            with self._crash_guard.attempt(command_id, suspected) as allowed:
                return self._with_retries(command_id, swept=swept, marked=True) if allowed else AfterCommit()

    def _with_retries(self, command_id: UUID, **how: bool) -> AfterCommit:
        """Repeat the transaction if a deadlock or a concurrent change aborted it, or if its connection broke."""
        again = Retrying(
            retry=retry_if_exception(_may_succeed_at_once),
            stop=stop_after_attempt(8),
            wait=wait_random_exponential(multiplier=0.01, max=0.2),
            before_sleep=lambda _: counters.SERIALIZATION_RETRIES.inc(),
            reraise=True,
        )
        try:
            return again(self._in_one_transaction, command_id, **how)
        except RejectedAfterWriting as rejected:
            return again(self._in_one_transaction, command_id, **how, rejected=rejected)

    def _in_one_transaction(
        self,
        command_id: UUID,
        *,
        swept: bool,
        redelivered: bool = False,
        marked: bool = False,
        rejected: RejectedAfterWriting | None = None,
    ) -> AfterCommit:
        """Claim and settle the command.

        `rejected`: the rejection that the handler raised in an earlier transaction, which was rolled back. If it is
        given, it is stored as the outcome, and the handler is not called again.
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            row = claim(session, command_id, marked=marked)
            if row is None:
                return AfterCommit()
            request_id.set(row.request_id)
            command_log.bind_command(row)
            _begin_span(row)
            handler = handler_for(row.name)
            if handler is None:
                # A newer version of this program wrote the command; this happens during a deploy. A worker of that
                # version will execute it.
                log.warning(
                    "this version has no handler for %s; a worker of a newer version executes it", row.name
                )
                session.execute(_NOTE_UNKNOWN, {"id_": row.id})
                return AfterCommit()
            if row.due_at > row.claimed_at:
                # By the database's clock the command is not due yet. A new wake-up is sent, whose countdown ends when
                # the command is due.
                return AfterCommit([_wake_up_for(row, (row.due_at - row.claimed_at).total_seconds())])
            if not marked and (redelivered or crashes.may_have_crashed(row)):
                raise crashes.CrashSuspected(crashed_before=row.crashes > 0)
            caller = caller_of(row)
            uow = UnitOfWork(session, row.id, row.name, caller, row.claimed_at)
            new_caller = caller if caller is not None and caller not in self._known_callers else None
            if new_caller is not None:
                ensure_user(session, new_caller)
            outcome = run(handler, row, uow) if rejected is None else reject_again(rejected, uow)
            continues_at = uow.continues_at
            if continues_at is None:
                settle(uow, row, outcome, swept=swept)
            else:
                uow.store_continuation()
            if new_caller is not None:
                uow.after_commit(partial(self._known_callers.add, new_caller))
            wake_ups = uow.flush(event_writer())
            if continues_at is not None:
                wake_ups.append(_wake_up_for(row, (continues_at - uow.now).total_seconds()))
                return AfterCommit(wake_ups, uow.acts_after_commit())
            settled = command_log.Settled(row, outcome, uow.broadcast_id, swept)
            return AfterCommit(wake_ups, uow.acts_after_commit(), settled)

    # --- after an attempt -------------------------------------------------------------------------------

    def _run_after_commit(self, then: AfterCommit) -> None:
        for act in then.acts:
            try:
                act()
            except Exception as error:
                log.warning("an action after the commit of a command failed: %s", failures.summary(error))
        for wake_up in then.wake_ups:
            self.wake(wake_up)

    def _record_failure(self, command_id: UUID, error: Exception, seconds: float) -> None:
        """Record the failure, unless the database caused it. In both cases the sweep tries the command again."""
        if is_outage(error) or is_contention(error):
            log.warning("a command waits for the database: %s", failures.summary(error))
            return
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                row = failures.record_failure(session, command_id, error)
        except DATABASE_ERRORS:
            log.exception("a command failed, and the failure could not be recorded")
            return
        if row is None:
            return
        command_log.failed(row, error, seconds)
        counters.COMMANDS.labels(row.name, "failed").inc()
        if row.parked_at is not None:
            counters.COMMANDS.labels(row.name, "parked").inc()


def _begin_span(row: ClaimedRow) -> None:
    if tracing.are_on():
        tracing.begin_command(
            row.name,
            row.traceparent,
            {"weelo.queue": row.queue, "weelo.command_id": row.id, "weelo.role": row.caller_role},
            is_timer=row.queue == TIMERS,
        )


def _wake_up_for(row: ClaimedRow, countdown: float) -> WakeUp:
    return WakeUp(row.id, row.name, cast(Queue, row.queue), countdown)
