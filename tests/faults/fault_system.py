"""A running system with its own servers that can be broken piece by piece, and when it could not be expected to work."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from psycopg2.errors import DiskFull
from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.faults.disks import SmallDisk
from tests.system import System
from weelo_workers.messaging.mailbox import TIMER_GRACE
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey

if TYPE_CHECKING:
    from tests.faults.leaks import Usage

# So that a request's whole life is some seconds.
QUICK = {
    "BROADCAST_TIMEOUT_SECONDS": "8",
    "RADIUS_STEPS_KM": "10,50",
    "RADIUS_STEP_SECONDS": "1.5",
    "DRIVER_ACCEPT_SECONDS": "3",
    "HOLD_SECONDS": "2",
    "PRESENCE_TTL_SECONDS": "10",
    "MAX_OPEN_OFFERS": "1000",
}

# Memory that is used only if something is written there.
DATABASE_MEGABYTES = 2048  # PostgreSQL lets its log grow to 1 GB
REDIS_MEGABYTES = 256  # Redis rewrites its log from 64 MB on

DATABASE, CLOCK, MACHINE = "database", "second clock", "machine"
STALL_SECONDS = 0.5
"""Who asks to sleep a tenth of a second and sleeps so much longer was not given the processor, nor was anybody."""


@dataclass(slots=True)
class Outage:
    """`what` was not there from `began` to `ended` (seconds since the epoch); `broadcast`: for that one alone."""

    what: str
    began: float
    ended: float = float("inf")
    broadcast: str | None = None

    def during(self, since: float, until: float) -> float:
        return max(0.0, min(self.ended, until) - max(self.began, since))


class FaultSystem:
    """Use as a context manager. `log`: where the system writes what it says."""

    def __init__(self, log: Path, settings: Mapping[str, str] = QUICK) -> None:
        self.log = log
        self._folder = Path(tempfile.mkdtemp(prefix="weelo-stage-"))
        self._folder.chmod(0o755)  # root's PostgreSQL runs as somebody else, who has to get in
        data = self._folder / "data"
        self.postgres, self.valkey = Postgres(data), Valkey(data)
        self.database_disk = SmallDisk(self.postgres.home, DATABASE_MEGABYTES)
        self.redis_disk = SmallDisk(self.valkey.home, REDIS_MEGABYTES)
        self.system = System(data, log, DATABASE_URL="", REDIS_URL="", **settings)
        self.engine: Engine = connect(self.postgres.url("weelo"), pool_size=4)
        self.away: list[Outage] = []
        self.zero = time.time()
        """From when on the time of the play is counted."""
        self.deadlines: dict[str, float] = {}
        """Of requests, as they were before time was helped on."""
        self.shares_its_cores = False
        """With other tests, so that everything takes longer."""
        self.usual: Usage | None = None
        """What it uses while nothing happens."""
        self._lock = threading.Lock()

    def __enter__(self) -> FaultSystem:
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody is asked to end gently: that is shown elsewhere, and takes its time."""
        self.engine.dispose()
        me = psutil.Process(self.system.process.pid)
        family = [me, *me.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.system.process.wait()
        psutil.wait_procs(family, timeout=10)
        self.postgres.remove()
        self.valkey.remove()
        self.database_disk.remove()
        self.redis_disk.remove()
        shutil.rmtree(self._folder)

    # --- looking ------------------------------------------------------------------------------------------

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters).all())

    def redis(self) -> Redis:
        """A connection that gives up soon: it may be that this Redis has just been stopped."""
        return Redis.from_url(self.valkey.url(), socket_timeout=2, socket_connect_timeout=2)

    def database_answers(self) -> bool:
        try:
            return bool(self.rows("SELECT 1"))
        except Exception:
            return False

    def database_has_no_room(self) -> bool:
        """Not even for what a query puts aside, which is more than it is granted memory for."""
        try:
            self.rows("SELECT count(*) FROM generate_series(1, 300000)")
        except DBAPIError as refusal:
            return isinstance(refusal.orig, DiskFull)
        return False

    def redis_takes_nothing(self) -> bool:
        """It answers, and refuses whatever it would have to write down."""
        with suppress(RedisError), self.redis() as redis:
            try:
                redis.set("weelo:test", 1, ex=5)
            except ResponseError:
                return True
        return False

    def locked_by(self, pids: Sequence[int]) -> list[str]:
        """The requests that transactions of these processes have locked at this moment."""
        ports = []
        for pid in pids:
            with suppress(psutil.Error):
                ports += [line.laddr.port for line in psutil.Process(pid).net_connections("tcp")]
        # Who waits for nothing else than its client's next word, in the middle of a transaction.
        busy = self.rows(
            "SELECT pid FROM pg_stat_activity WHERE client_port = ANY(:ports)"
            " AND state IN ('idle in transaction', 'idle in transaction (aborted)', 'active')",
            ports=ports,
        )
        if not busy:
            return []
        free = "SELECT id FROM broadcasts WHERE expires_at > clock_timestamp() - interval '1 minute'"
        everyone = {str(row.id) for row in self.rows(free)}
        lockable = {str(row.id) for row in self.rows(f"{free} FOR UPDATE SKIP LOCKED")}
        return sorted(everyone - lockable)

    def waiting_for_a_lock(self) -> list[int]:
        """The ports of clients whose transaction waits for somebody else's."""
        waits = self.rows(
            "SELECT client_port FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE '%FROM broadcasts%'"
        )
        return [int(wait.client_port) for wait in waits]

    @staticmethod
    def holding(pids: Sequence[int], port: int) -> list[int]:
        """Which of these processes is the client with this port."""
        found = []
        for pid in pids:
            with suppress(psutil.Error):
                if any(line.laddr.port == port for line in psutil.Process(pid).net_connections("tcp")):
                    found.append(pid)
        return found

    # --- who is not there ---------------------------------------------------------------------------------

    @contextmanager
    def outage_of(self, what: str, broadcast: str | None = None) -> Iterator[None]:
        """Meanwhile nobody can expect this to work."""
        gone = Outage(what, time.time(), broadcast=broadcast)
        with self._lock:
            self.away.append(gone)
        try:
            yield
        finally:
            gone.ended = time.time()

    def outage_between(self, since: float, until: float, broadcast: str) -> float:
        """For how much of this time nobody could have seen to this broadcast: outages that overlap count once."""
        with self._lock:
            spans = sorted(
                (max(gone.began, since), min(gone.ended, until))
                for gone in self.away
                if gone.during(since, until) > 0 and gone.broadcast in (None, broadcast)
            )
        total, reached = 0.0, since
        for began, ended in spans:
            total += max(0.0, ended - max(began, reached))
            reached = max(reached, ended)
        return total

    # --- time ---------------------------------------------------------------------------------------------

    def shorten_deadlines(self) -> None:
        """What is due in more than five seconds is due in one to five, and so are the deadlines that it is about."""
        later = "SELECT id, EXTRACT(EPOCH FROM expires_at)::float AS ends FROM broadcasts"
        self.deadlines |= {str(row.id): row.ends for row in self.rows(later)}
        soon = "now() + (1 + abs(hashtext({})) % 5) * interval '1 second'"
        with self.engine.begin() as connection:
            hurried = connection.execute(
                text(f"""
                    UPDATE broadcasts SET expires_at = {soon.format("id::text")}
                     WHERE expires_at > now() + interval '5 s' RETURNING id::text""")
            )
            # Of a deadline that was put off the timer may be due before it, to be set again.
            due = soon.format("payload->>'broadcast_id'")
            connection.execute(
                text(f"""
                    UPDATE mailbox SET due_at = {due}, wake_at = {due} + :grace
                     WHERE settled_at IS NULL
                       AND (due_at > now() + interval '5 s'
                            OR (name = 'broadcasts.expire' AND payload->>'broadcast_id' = ANY(:hurried)))"""),
                {"grace": TIMER_GRACE, "hurried": list(hurried.scalars())},
            )

    # --- processes ----------------------------------------------------------------------------------------

    def children(self) -> list[int]:
        """Those whom the supervisor keeps running: leaders of what they started themselves. Not the servers."""
        me = psutil.Process(self.system.process.pid)
        return [child.pid for child in me.children() if {"celery", "gunicorn"} & set(_words(child))]

    def leader(self, program: str) -> int | None:
        """Of the supervisor's children the one that runs this."""
        family = self.system.pids(program)
        return next((pid for pid in self.children() if pid in family), None)

    def works(self, leader: int) -> bool:
        """It, or a process of its, has come as far as the database."""
        port = int(self.postgres.url().rpartition(":")[2].partition("/")[0])
        with suppress(psutil.Error):
            process = psutil.Process(leader)
            return any(
                line.raddr and line.raddr.port == port
                for each in (process, *process.children(recursive=True))
                for line in each.net_connections("tcp")
            )
        return False

    @staticmethod
    def send(signum: signal.Signals, pids: Sequence[int]) -> int:
        """How many of them were there to hear it."""
        heard = 0
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                heard += psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
                psutil.Process(pid).send_signal(signum)
        return heard

    @contextmanager
    def stopped(self, pids: Sequence[int]) -> Iterator[None]:
        self.send(signal.SIGSTOP, pids)
        try:
            yield
        finally:
            self.send(signal.SIGCONT, pids)

    @staticmethod
    def pause_processes(pids: Sequence[int], seconds: float) -> int:
        """For so long, but no longer than one of them does. How many do in the end."""
        until = time.monotonic() + seconds
        while True:
            still = 0
            for pid in pids:
                with suppress(psutil.NoSuchProcess):
                    still += psutil.Process(pid).status() == psutil.STATUS_STOPPED
            if not still or time.monotonic() > until:
                return still
            time.sleep(0.1)


class ClockWatch:
    """Notes when the sweeping process was not there: dead, stopped, or not yet connected to the database. And when the
    machine itself stood still, as busy ones do."""

    def __init__(self, fault_system: FaultSystem) -> None:
        self._stage = fault_system
        self._over = threading.Event()
        self._connected: int | None = None
        self._thread = threading.Thread(target=self._watch, name="clock watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(timeout=5)

    def _watch(self) -> None:
        while not self._over.is_set():
            began = time.time()
            self._over.wait(0.1)
            if time.time() - began > 0.1 + STALL_SECONDS:
                self._stage.away.append(Outage(MACHINE, began, time.time()))
            if not self._ticks():
                with self._stage.outage_of(CLOCK):
                    while not self._over.wait(0.1) and not self._ticks():
                        pass

    def _ticks(self) -> bool:
        with suppress(psutil.Error):
            if self._connected is not None:
                return psutil.Process(self._connected).status() not in (
                    psutil.STATUS_STOPPED,
                    psutil.STATUS_ZOMBIE,
                )
        self._connected = None
        with suppress(psutil.Error):
            for pid in self._stage.system.pids("beat"):
                if self._stage.works(pid):
                    self._connected = pid
                    return True
        return False


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
