"""The engine of a run: executes commands by the production bus, in the order that the scheduler decides."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text

from weelo_lab.event_log import EventLog, digest
from weelo_lab.faults import NO_FAULTS, FaultDice, FaultPlan
from weelo_lab.scheduler import Scheduler
from weelo_lab.virtual_clock import BEGIN, SECOND, VirtualClock
from weelo_workers import randomness
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.messaging import mailbox, sweep
from weelo_workers.messaging.batches import execute_batches
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.metrics import counters
from weelo_workers.models import prepared
from weelo_workers.models.engine import autocommit_engine, engine
from weelo_workers.models.mailbox import MAILBOX, active
from weelo_workers.presence import evict_closed, evict_stale
from weelo_workers.redis_client import redis

# One statement reads the outcome and the new lines, because it is executed after every command. The lines of each event are
# read by a subquery: with a join, the plan that was made for empty tables would read all lines of the run each time.
_NEWS = text("""
    SELECT (SELECT row_to_json(row) FROM (
               SELECT status, http_status, result, error, settled_at FROM mailbox WHERE id = :id
           ) AS row) AS outcome,
           (SELECT json_agg(row) FROM (
               SELECT event.position, event.id, event.event, event.data,
                      (SELECT json_agg(json_build_array(line.user_id, line.seq, line.own) ORDER BY line.user_id)
                         FROM log_lines AS line WHERE line.event_id = event.id) AS lines
                 FROM events AS event
                WHERE event.position > :position
                ORDER BY event.position
           ) AS row) AS events
""").execution_options(**prepared.prepared("lab_news"))
_NEXT_SWEEP = select(func.min(MAILBOX.c.wake_at)).where(active())
_FAILED = text("SELECT name, last_error FROM mailbox WHERE attempts > 0 OR parked_at IS NOT NULL LIMIT 5")

BEAT_MICROS = SECOND
"""Beat executes batches and sweeps this long after something has happened, as in production within a second."""
MOST_IDLE_BEATS = 100
"""After as many beats in a row that find nothing to do, beat waits until something happens. Otherwise a row that no sweep
takes up would keep a run from ending."""
EVICT_MICROS = 10 * SECOND
REDIS_SECONDS = 60.0
NO_COMMAND = UUID(int=0)
NEVER = 1e12
"""A time limit in real seconds that is never reached."""


class LabError(Exception):
    """The result of a run cannot be used: a command failed, or the machine was too slow for a limit in real time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command, as its caller reads it. `status`: `pending` until it is settled."""

    status: str
    http_status: int | None
    result: Any
    error: Any


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of a user's log, as the socket sends it."""

    user_id: UUID
    event: str
    data: dict[str, Any]


class Engine:
    """Runs commands, timers and people on the virtual clock of this process."""

    def __init__(self, seed: str, faults: FaultPlan | None = None, log: EventLog | None = None) -> None:
        """Begin at the time 0. The process's database has to be that of a run, without rows."""
        load_handlers()
        randomness.use_seed(f"{seed} ids")
        # Both intervals are real time, so they are made endless. Otherwise the machine's speed would decide when a
        # statement is planned, and so the plan and the order of the rows.
        prepared.KEPT_SECONDS = NEVER
        sweep.TIMERS_EVERY_SECONDS = NEVER
        self.log = log or EventLog()
        self.on_frame: Callable[[Frame], None] | None = None
        self.commands = 0
        self.frames = 0
        # This time-out is set before any connection is opened. It is long, so that no call fails on a busy machine.
        redis().connection_pool.connection_kwargs["socket_timeout"] = REDIS_SECONDS
        self._clock = VirtualClock()
        self._scheduler = Scheduler(seed)
        self._faults = faults or FaultDice(seed, NO_FAULTS)
        self.bus = self.new_bus()
        self.execute: Callable[[WakeUp], object] = lambda wake_up: self.bus.execute(wake_up.id)
        """Executes the command of a delivered wake-up."""
        self._executing = ""
        self._callers: dict[UUID, Callable[[Outcome], None]] = {}
        self._position = 0
        self._beat_at: int | None = None
        self._idle_beats = 0
        self._evict_at = 0
        self._troubles = _Troubles()
        logging.getLogger("weelo_workers").addHandler(self._troubles)

    # --- time ---------------------------------------------------------------------------------------

    @property
    def micros(self) -> int:
        """The time of the run in microseconds."""
        return self._clock.micros

    @property
    def now(self) -> datetime:
        """The time of the run."""
        return self._clock.now

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Run `act` this many seconds later."""
        self._scheduler.at(self.micros + round(seconds * SECOND), act)

    def at(self, micros: int, act: Callable[[], object]) -> None:
        """Run `act` at this time in microseconds, or now if it has passed."""
        self._scheduler.at(max(micros, self.micros), act)

    def write_time(self) -> None:
        """Set the clocks of PostgreSQL and Redis to the time of the run. Others call this before they use either."""
        self._clock.write()

    def flush_redis(self) -> None:
        """Delete everything in Redis, as after its restart without a file."""
        redis().flushdb()
        self._clock.write(again=True)

    def run(self, until: int | None = None) -> None:
        """Run everything up to this time in microseconds; None: until nothing is left."""
        while (next_at := self._scheduler.next_at()) is not None and (until is None or next_at <= until):
            self._clock.move(next_at)
            self._scheduler.pop()()
        if until is not None:
            self._clock.move(until)
        self.write_time()

    def close(self) -> list[str]:
        """Close the connections. Return the first warnings that were logged."""
        self._clock.close()
        logging.getLogger("weelo_workers").removeHandler(self._troubles)
        return self._troubles.lines

    def finish(self) -> None:
        """Close the connections. Raises LabError if a command has failed, or if something took too long by the real clock."""
        with autocommit_engine().connect() as connection:
            failed = connection.execute(_FAILED).all()
        self.close()
        if failed:
            raise LabError(f"commands failed: {', '.join(f'{row.name}: {row.last_error}' for row in failed)}")
        if self._troubles.lines:
            raise LabError(f"the run cannot be repeated exactly: {self._troubles.lines[0]}")
        if _retries():
            raise LabError("the run cannot be repeated exactly: a transaction was repeated")

    # --- commands -----------------------------------------------------------------------------------

    def post(
        self,
        command: Command,
        caller: Caller,
        then: Callable[[Outcome], None] | None = None,
        *,
        again: UUID | None = None,
    ) -> UUID:
        """Store a command as the API does, and wake a worker. Return its id.

        `then`: called with its outcome. `again`: the id of an earlier post that the caller repeats.
        """
        self.write_time()
        command_id = again or randomness.new_id()
        with autocommit_engine().connect() as connection:
            mailbox.post(connection, command, caller, command_id, "lab")
        self.log.add(
            self.micros,
            "post",
            id=command_id,
            name=command.name,
            by=caller.id,
            payload=digest(command.model_dump(mode="json")),
        )
        if then is not None:
            self._callers[command_id] = then
        self.wake(WakeUp(command_id, command.name, command.queue))
        self._beat_soon()
        return command_id

    def wake(self, wake_up: WakeUp) -> None:
        """Deliver a wake-up when its countdown ends. A fault may lose, repeat or delay it."""
        due = self.micros + round(wake_up.countdown * SECOND)
        deliveries = self._faults.deliveries(wake_up)
        if not deliveries:
            self.log.add(self.micros, "lose", id=wake_up.id)
        for late in deliveries:
            self._scheduler.at(due + round(late * SECOND), partial(self.deliver, wake_up))

    def deliver(self, wake_up: WakeUp) -> None:
        """Execute the command of this wake-up now, as a worker does when it receives the wake-up."""
        self.commands += 1
        self.write_time()
        self._executing = wake_up.name
        self.execute(wake_up)
        self._executing = ""
        self._read_news(wake_up.id, "deliver", wake_up.name)
        self._beat_soon()

    def new_bus(self) -> Bus:
        """Return a new bus, such as another process would have."""
        return Bus(engine(), _Waker(self), after_commit_executor=self._after_commit)

    def _after_commit(self, act: Callable[[], None]) -> None:
        if self._faults.crashes(self._executing):
            self.log.add(self.micros, "crash")
            return
        act()

    # --- beat ---------------------------------------------------------------------------------------

    def _beat_soon(self) -> None:
        self._beat_not_after(self.micros + BEAT_MICROS)

    def _beat_not_after(self, micros: int) -> None:
        at = math.ceil(micros / BEAT_MICROS) * BEAT_MICROS
        if self._beat_at is None or at < self._beat_at:
            self._beat_at = at
            self._scheduler.at(at, partial(self._beat, at))

    def _beat(self, at: int) -> None:
        if self._beat_at != at:
            return
        self._beat_at = None
        if not self._faults.sweeps(self.micros):
            self._beat_soon()
            return
        self.write_time()
        batched = execute_batches(engine())
        # Without faults every wake-up is delivered, so a sweep would find nothing.
        swept = sweep.sweep(self.bus, seconds=NEVER) if self._faults.any else 0
        self._idle_beats = 0 if batched or swept else self._idle_beats + 1
        if self.micros >= self._evict_at:
            self._evict_at = self.micros + EVICT_MICROS
            evict_stale(at_most=1_000)
            evict_closed(at_most=1_000)
        if batched or swept:
            self.log.add(self.micros, "beat", batched=batched, swept=swept)
            for command_id in [*self._callers] if swept else [NO_COMMAND]:
                self._read_news(command_id, "look", "")
        if self._faults.any and self._idle_beats < MOST_IDLE_BEATS:
            self._beat_for_what_was_lost()

    def _beat_for_what_was_lost(self) -> None:
        """Plan a sweep for when the next row is overdue, because the wake-up of this row may have been lost."""
        with autocommit_engine().connect() as connection:
            wake_at = connection.execute(_NEXT_SWEEP).scalar()
        if wake_at is not None:
            due = math.ceil((wake_at - BEGIN).total_seconds() * SECOND)
            self._beat_not_after(max(due, self.micros + BEAT_MICROS))

    # --- frames -------------------------------------------------------------------------------------

    def _read_news(self, command_id: UUID, kind: str, name: str) -> None:
        """Pass the outcome of a command to its caller, and the new lines of all logs to their readers, as sockets do."""
        with autocommit_engine().connect() as connection:
            outcome, events = connection.execute(_NEWS, {"id": command_id, "position": self._position}).one()
        if outcome is not None:
            self.log.add(
                self.micros,
                kind,
                id=command_id,
                name=name,
                status=outcome["status"],
                http=outcome["http_status"],
                result=digest([outcome["result"], outcome["error"]]),
            )
        frames = [frame for event in events or () for frame in self._frames(event)]
        if outcome is not None and outcome["settled_at"] is not None:
            caller = self._callers.pop(command_id, None)
            if caller is not None:
                status, http_status = outcome["status"], outcome["http_status"]
                caller(Outcome(status, http_status, outcome["result"], outcome["error"]))
        for frame in frames:
            if stale := self._faults.stale_seconds():
                self.after(stale, partial(self._receive, frame))
            else:
                self._receive(frame)

    def _frames(self, event: dict[str, Any]) -> list[Frame]:
        """Add an event and its lines to the event log of the run, and return the frames for the lines' users."""
        self._position = event["position"]
        lines, data = event["lines"] or (), event["data"]
        if lines:
            about = {"id": event["id"], "event": event["event"], "data": digest(data)}
            self.log.add(self.micros, "event", **about)
        for user_id, seq, own in lines:
            self.log.add(self.micros, "line", to=user_id, seq=seq, own=digest(own))
        self.frames += len(lines)
        return [Frame(UUID(user_id), event["event"], data | (own or {})) for user_id, _, own in lines]

    def _receive(self, frame: Frame) -> None:
        if self.on_frame is not None:
            self.on_frame(frame)


def _retries() -> float:
    """Return how many transactions were repeated. A repetition draws new ids, so another run would differ."""
    [metric] = counters.SERIALIZATION_RETRIES.collect()
    return sum(sample.value for sample in metric.samples if sample.name.endswith("_total"))


class _Waker:
    """Hands each wake-up to the scheduler."""

    recently_failed = False

    def __init__(self, lab: Engine) -> None:
        self._lab = lab

    def wake(self, wake_up: WakeUp) -> None:
        self._lab.wake(wake_up)


class _Troubles(logging.Handler):
    """Records warnings about outages. Limits in real time cause them, so a repetition of the run may lack them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 5:
            self.lines.append(record.getMessage())
