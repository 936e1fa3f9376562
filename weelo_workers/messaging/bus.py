"""One message, one transaction: claim the command's row, run its verb, record the outcome, commit, ring.

This is where every command, timer and delivery passes, whoever woke it: a worker, the sweep or a test.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Engine,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast as sql_cast,
    func,
    join,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.notifications import CommandSettled, DeliverEvents
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.rejections import Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import Wire
from weelo_workers.lifecycles.mailbox import REJECT, SUCCEED
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.messaging import failures, mailbox
from weelo_workers.messaging.handlers import handler_for
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.messaging.wakeup import BrokerUnavailable, Waker, WakeUp
from weelo_workers.metrics import counters
from weelo_workers.models import MailboxRow, User
from weelo_workers.models.engine import DATABASE_ERRORS, is_contention, is_disconnect, is_outage
from weelo_workers.models.mailbox import active, pause_is_over, unsettled

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())

# In a race what comes within this time is written together, instead of one or two at a time.
BATCH_WINDOW_SECONDS = 0.05

# How many callers a process remembers as known before it begins afresh.
REMEMBERED_CALLERS = 10_000


_AfterCommit = tuple[list[WakeUp], list[Callable[[], None]]]
"""What follows a commit: whom to ring, and what to do outside of the database."""


class _CrashSuspected(Exception):
    """Whoever had this before has not settled it, and may have died of it. `lost_before`: on the record."""

    def __init__(self, *, crashed_before: bool) -> None:
        super().__init__(crashed_before)
        self.crashed_before = crashed_before


class Bus:
    """Executes commands by id against one database, and rings one bell."""

    def __init__(
        self,
        engine: Engine,
        waker: Waker,
        after_commit_executor: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        """`after_commit_executor`: does what follows a commit (rings, presence, news) where nobody waits for it, while Redis may be
        slow to answer. Without it, it is done at once."""
        self.engine = engine
        self.waker = waker
        self.after_commit_executor = after_commit_executor
        self._known: set[UUID] = set()
        self._suspects = threading.Lock()
        self._survived: dict[UUID, failures.CrashMark] = {}
        # For a look at one row, which needs no transaction around it.
        self._looking = engine.execution_options(isolation_level="AUTOCOMMIT")

    def execute(self, command_id: UUID, *, swept: bool = False, redelivered: bool = False) -> None:
        """Settle this command if it is due and unsettled. What goes wrong is noted, and left to the sweep.

        `redelivered`: somebody had the message before, and may have died of it.
        """
        try:
            wake_ups, acts = self._settle(command_id, swept, redelivered)
        except Exception as error:
            self._record_failure(command_id, error)
            return
        self.unmark_crashes()
        afterwards = partial(self._run_after_commit, command_id, acts, wake_ups)
        if self.after_commit_executor is None:
            afterwards()
        elif acts or wake_ups:
            self.after_commit_executor(afterwards)

    def _settle(self, command_id: UUID, swept: bool, redelivered: bool) -> _AfterCommit:
        try:
            return self._with_retries(command_id, swept=swept, redelivered=redelivered)
        except _CrashSuspected as suspected:
            # Of those who have lost somebody one at a time: else who only runs beside a killer would look like one.
            with self._suspects if suspected.crashed_before else nullcontext():
                return self._settle_with_crash_mark(command_id, swept)

    def _settle_with_crash_mark(self, command_id: UUID, swept: bool) -> _AfterCommit:
        """What may kill this process is counted as lost before it is tried, and not any more if we come back."""
        self.unmark_crashes()
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            mark = failures.mark_possible_crash(session, command_id)
        if mark is None:
            return [], []
        try:
            return self._with_retries(command_id, swept=swept, on_record=True)
        except BaseException:
            self._survived[command_id] = mark
            self.unmark_crashes()
            raise

    def unmark_crashes(self) -> None:
        """Say of what we have survived that it did not kill us: later, if the database is away just now."""
        for command_id in list(self._survived):
            mark = self._survived.pop(command_id, None)
            if mark is None:
                continue  # another thread says it
            try:
                with Session(self.engine) as session, session.begin():
                    failures.unmark_crash(session, command_id, mark)
            except DATABASE_ERRORS:
                self._survived[command_id] = mark

    def _with_retries(self, command_id: UUID, **how: bool) -> _AfterCommit:
        """In one transaction, and in another if it lost a race or its connection."""
        again = Retrying(
            retry=retry_if_exception(lambda error: is_contention(error) or is_disconnect(error)),
            stop=stop_after_attempt(8),
            wait=wait_random_exponential(multiplier=0.01, max=0.2),
            before_sleep=lambda _: counters.SERIALIZATION_RETRIES.inc(),
            reraise=True,
        )
        return again(self._in_one_transaction, command_id, **how)

    def _run_after_commit(
        self, command_id: UUID, acts: list[Callable[[], None]], wake_ups: list[WakeUp]
    ) -> None:
        for act in acts:
            try:
                act()
            except Exception as error:
                log.warning("after the commit of %s: %s", command_id, error)
        for wake_up in wake_ups:
            if not self._will_be_picked_up(wake_up):
                self.wake(wake_up)

    def wake(self, wake_up: WakeUp) -> None:
        with suppress(BrokerUnavailable):
            self.waker.wake(wake_up)

    def _will_be_picked_up(self, wake_up: WakeUp) -> bool:
        """Of a crowd of deliveries about one subject only the first needs a ring: its execution settles all that
        it sees, and looks once more after its commit. We look after ours: if the first still waits now, then
        its second look comes later and finds us. Should it die in between, the sweep does."""
        if wake_up.follows is None:
            return False
        with suppress(*DATABASE_ERRORS), self._looking.connect() as connection:
            return mailbox.waiting_delivery(connection, wake_up.follows, other_than=wake_up.id) is not None
        return False

    def _wake_next_in_subject(self, subject_id: UUID) -> None:
        """After a delivery: those that came while it was being written are told together, a moment later."""
        with suppress(*DATABASE_ERRORS):
            with self._looking.connect() as connection:
                left = mailbox.waiting_delivery(connection, subject_id)
            if left is not None:
                time.sleep(BATCH_WINDOW_SECONDS)
                # Rung, not executed here: in a crowd that does not end, each would run inside the one before.
                try:
                    self.waker.wake(WakeUp(left, DeliverEvents.name, DeliverEvents.queue))
                except BrokerUnavailable:
                    self.execute(left)

    def _in_one_transaction(
        self, command_id: UUID, *, swept: bool, redelivered: bool = False, on_record: bool = False
    ) -> _AfterCommit:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            claimed = _claim(session, command_id, on_record)
            if claimed is None:
                return [], []
            row, now = claimed
            handler = handler_for(row.name)
            if handler is None:
                # Written by a newer process in a deploy: left, uncounted, for one that knows it.
                log.warning("no handler here for %s", row.name)
                row.last_error = "the worker that tried it does not know this command"
                return [], []
            if row.due_at > now:
                # Early by the database's clock, or woken by a stray bell: set the alarm again.
                return [WakeUp(row.id, row.name, row.queue, (row.due_at - now).total_seconds())], []  # type: ignore[arg-type]
            if not on_record and (redelivered or _may_have_crashed_before(row)):
                raise _CrashSuspected(crashed_before=row.crashes > 0)
            caller = _caller(row)
            new_caller = caller if caller is not None and caller.id not in self._known else None
            if new_caller is not None:
                _ensure_user(session, new_caller)
            uow = UnitOfWork(session, row.id, row.name, caller)
            values = _run(handler, row, uow)
            if uow.caller:
                uow.publish(_settled(row, values, uow.now), caller_id=str(uow.caller.id))
            session.connection().execute(
                _SETTLE, {"row": row.id, "settled_at": uow.now, **_EMPTY_OUTCOME, **values}
            )
            uow.after_commit(partial(_count, row, values["status"], now, uow.now, swept))
            if new_caller is not None:
                uow.after_commit(partial(self._remember, new_caller.id))
            if row.name == DeliverEvents.name and row.subject_id is not None:
                uow.after_commit(partial(self._wake_next_in_subject, row.subject_id))
            return uow.flush(), uow.acts_after_commit()

    def _remember(self, caller_id: UUID) -> None:
        """Their row is there: the next command of theirs need not see to it."""
        if len(self._known) >= REMEMBERED_CALLERS:
            self._known.clear()
        self._known.add(caller_id)

    def _record_failure(self, command_id: UUID, error: Exception) -> None:
        """Leave the row to the sweep; after too many unexpected errors park it with the reason."""
        if is_outage(error) or is_contention(error):
            log.warning("command %s waits for the database: %s", command_id, failures.summary(error))
            return
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                row = failures.record_failure(session, command_id, error)
        except DATABASE_ERRORS:
            log.exception("command %s failed, and the failure could not be recorded", command_id)
            return
        if row is not None:
            counters.COMMANDS.labels(row.name, "failed").inc()
            if row.parked_at is not None:
                counters.COMMANDS.labels(row.name, "parked").inc()
        if row is not None and row.name == DeliverEvents.name and row.subject_id is not None:
            self._wake_next_delivery(row.subject_id)

    def _wake_next_delivery(self, subject_id: UUID) -> None:
        """A delivery failed: of those behind it about the same subject the first had not been rung."""
        with suppress(*DATABASE_ERRORS):
            with self._looking.connect() as connection:
                behind = mailbox.waiting_delivery(connection, subject_id)
            if behind is not None:
                self.wake(WakeUp(behind, DeliverEvents.name, DeliverEvents.queue))


def _may_have_crashed_before(row: MailboxRow) -> bool:
    """Perhaps. The first to come for a timer may well be the sweep, for everything else it has rung."""
    return row.crashes > 0 or row.sweep_count > (1 if row.queue == TIMERS else 0)


def _claim(session: Session, command_id: UUID, on_record: bool) -> tuple[MailboxRow, datetime] | None:
    """Lock the row before anything is looked at: of several messages for one command, one acts. With it, the
    time. None if it is settled, parked, in the pause after a failure, or aged out. `on_record`: that pause is ours.

    Deliveries about one subject go one at a time: each settles the others that wait, so they must not
    hold one row and want another's. Of a crowd of them most find themselves settled, and lock nothing.
    """
    claimed = session.execute(_CLAIM, {"id": command_id, "on_record": on_record}).one_or_none()
    return (claimed[0], claimed[1]) if claimed else None


_mailbox = cast(Table, MailboxRow.__table__)
_its_turn = func.pg_advisory_xact_lock(func.hashtextextended(sql_cast(_mailbox.c.subject_id, Text), 0))
_turn = (
    select(
        case(
            (
                and_(_mailbox.c.name == DeliverEvents.name, unsettled(_mailbox.c)),
                sql_cast(_its_turn, Text),
            )
        ).label("taken")
    )
    .where(_mailbox.c.id == bindparam("id"))
    .cte("turn")
    .prefix_with("MATERIALIZED")
)
# The advisory lock is taken while the rows are found, the row's own only then, and what the row says is read
# again once it is locked.
_CLAIM = (
    select(MailboxRow, func.clock_timestamp(), _turn.c.taken)
    .select_from(join(_turn, MailboxRow, true()))
    .where(
        MailboxRow.id == bindparam("id"),
        active(MailboxRow),
        # In a pause after a failure it is not claimed, whatever woke this worker. A marked attempt began the pause itself.
        or_(bindparam("on_record", type_=Boolean()), pause_is_over(MailboxRow)),
    )
    .with_for_update(of=MailboxRow)
)
_EMPTY_OUTCOME = {"result": None, "error": None, "replayed": False}
_SETTLE = (
    update(_mailbox)
    .where(_mailbox.c.id == bindparam("row"))
    .values({name: bindparam(name) for name in ("settled_at", "status", "http_status", *_EMPTY_OUTCOME)})
)
_NEW_USER = (
    insert(cast(Table, User.__table__)).values(created_at=func.clock_timestamp()).on_conflict_do_nothing()
)


def _ensure_user(session: Session, caller: Caller) -> None:
    """The first command of a user makes their row."""
    row = {"id": caller.id, "role": caller.role, "name": caller.name, "phone": caller.phone}
    session.connection().execute(_NEW_USER, row)


def _run(
    handler: Callable[[Any, UnitOfWork], Wire | None], row: MailboxRow, uow: UnitOfWork
) -> dict[str, Any]:
    """Run the verb in a savepoint, so that a refusal leaves nothing behind but itself."""
    command = failures.read_command(row.name, row.payload)
    try:
        with uow.session.begin_nested():
            result = handler(command, uow)
    except Rejected as refusal:
        uow.discard()
        return {
            "status": REJECT.to.value,
            "http_status": refusal.code.http_status,
            "error": refusal.problem(),
        }
    return {
        "status": SUCCEED.to.value,
        "http_status": uow.http_status,
        "result": result.json_dict() if result is not None else None,
        "replayed": uow.replayed,
    }


def _count(row: MailboxRow, outcome: str, fired_at: datetime, settled_at: datetime, swept: bool) -> None:
    counters.COMMANDS.labels(row.name, outcome).inc()
    if row.caller_id is not None:
        waited = (settled_at - row.received_at).total_seconds()
        counters.COMMAND_SECONDS.labels(row.queue).observe(max(0.0, waited))
    if row.queue == TIMERS:
        counters.TIMERS_FIRED.labels("sweep" if swept else "countdown").inc()
        counters.TIMER_LATE_SECONDS.observe(max(0.0, (fired_at - row.due_at).total_seconds()))


def _settled(row: MailboxRow, values: dict[str, Any], now: datetime) -> CommandSettled:
    return CommandSettled(
        command_id=row.id, command=row.name, received_at=row.received_at, settled_at=now, **values
    )


def _caller(row: MailboxRow) -> Caller | None:
    if row.caller_id is None or row.caller_role is None:
        return None
    return Caller(row.caller_id, Role(row.caller_role), row.caller_name, row.caller_phone)
