"""A running system with its own servers, functions that break its parts, and a record of its outages."""

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

from tests.support.disks import SmallDisk
from tests.support.system import System
from weelo_workers.messaging.mailbox import TIMER_GRACE
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey

if TYPE_CHECKING:
    from tests.faults.leaks import Usage

# Short time limits, so that every request ends within seconds.
QUICK = {
    "BROADCAST_TIMEOUT_SECONDS": "8",
    "RADIUS_STEPS_KM": "10,50",
    "RADIUS_STEP_SECONDS": "1.5",
    "DRIVER_ACCEPT_SECONDS": "3",
    "HOLD_SECONDS": "2",
    "REOFFER_SECONDS": "12",
    "START_REMINDER_SECONDS": "1.5",
    "START_LIMIT_SECONDS": "4",
    "PICKUP_LIMIT_SECONDS": "3",
    "PICKUP_WAIT_SECONDS": "1",
    "PRESENCE_TTL_SECONDS": "10",
    "MAX_OPEN_OFFERS": "1000",
}

# The sizes of the disks in memory (tmpfs), which take memory only for what is written. They suffice for a whole run:
# PostgreSQL lets its write-ahead log grow to 1 GB, and Redis rewrites its append-only file from 64 MB on.
DATABASE_MEGABYTES = 2048
REDIS_MEGABYTES = 256

DATABASE, CLOCK, MACHINE = "database", "second clock", "machine"
STALL_SECONDS = 0.5
"""If a sleep of 0.1 s takes at least 0.1 s + STALL_SECONDS, the machine stalled, and with it all processes."""
BOOT_SECONDS = 3.0
"""How much longer than beat the worker of the timers may take to start after both have ended."""


@dataclass(slots=True)
class Outage:
    """`what` was unavailable from `began` to `ended` (seconds since the epoch).

    `broadcast`: the only broadcast that was affected, or None for all broadcasts.
    """

    what: str
    began: float
    ended: float = float("inf")
    broadcast: str | None = None

    def during(self, since: float, until: float) -> float:
        return max(0.0, min(self.ended, until) - max(self.began, since))


class FaultSystem:
    """A system under test with its own PostgreSQL and Redis. Use as a context manager. `log`: file for its output."""

    def __init__(self, log: Path, settings: Mapping[str, str] = QUICK) -> None:
        self.log = log
        self._folder = Path(tempfile.mkdtemp(prefix="weelo-stage-"))
        # If root runs the tests, PostgreSQL runs as another user, who has to enter this folder.
        self._folder.chmod(0o755)
        data = self._folder / "data"
        self.postgres, self.valkey = Postgres(data), Valkey(data)
        self.database_disk = SmallDisk(self.postgres.home, DATABASE_MEGABYTES)
        self.redis_disk = SmallDisk(self.valkey.home, REDIS_MEGABYTES)
        self.system = System(data, log, DATABASE_URL="", REDIS_URL="", **settings)
        self.engine: Engine = connect(self.postgres.url("weelo"), pool_size=4)
        self.away: list[Outage] = []
        self.zero = time.time()
        """Start of the fault test, in seconds since the epoch."""
        self.deadlines: dict[str, float] = {}
        """Deadlines of requests (seconds since the epoch) as they were before `shorten_deadlines`."""
        self.shares_its_cores = False
        """Whether other tests run on the same cores, so that everything takes longer."""
        self.usual: Usage | None = None
        """The resources that the system uses at rest, measured before the fault test."""
        self._lock = threading.Lock()

    def __enter__(self) -> FaultSystem:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all processes. A graceful shutdown would take longer, and other tests cover it."""
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

    # --- reading ------------------------------------------------------------------------------------------

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters).all())

    def redis(self) -> Redis:
        """Return a client with short timeouts, because this Redis may be stopped at the moment."""
        return Redis.from_url(self.valkey.url(), socket_timeout=2, socket_connect_timeout=2)

    def database_answers(self) -> bool:
        try:
            return bool(self.rows("SELECT 1"))
        except Exception:
            return False

    def database_has_no_room(self) -> bool:
        """Return whether PostgreSQL cannot write a temporary file. The query needs one, because it exceeds work_mem."""
        try:
            self.rows("SELECT count(*) FROM generate_series(1, 300000)")
        except DBAPIError as refusal:
            return isinstance(refusal.orig, DiskFull)
        return False

    def redis_takes_nothing(self) -> bool:
        """Return whether Redis answers and refuses writes."""
        with suppress(RedisError), self.redis() as redis:
            try:
                redis.set("weelo:test", 1, ex=5)
            except ResponseError:
                return True
        return False

    def locked_by(self, pids: Sequence[int]) -> list[str]:
        """Return the ids of the broadcasts whose rows may be locked by these processes.

        If one of these processes is in a transaction, the list has all broadcasts that any process has locked. Otherwise the
        list is empty.
        """
        ports = []
        for pid in pids:
            with suppress(psutil.Error):
                ports += [line.laddr.port for line in psutil.Process(pid).net_connections("tcp")]
        # All processes connect from one address, so the ports tell which connections are theirs.
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
        """Return the client ports of connections that wait for a lock on a broadcast."""
        waits = self.rows(
            "SELECT client_port FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND (query LIKE '%FROM broadcasts%' OR query LIKE 'EXECUTE lock_broadcasts%')"
        )
        return [int(wait.client_port) for wait in waits]

    @staticmethod
    def holding(pids: Sequence[int], port: int) -> list[int]:
        """Return the pids of the processes that have a TCP connection from this local port."""
        found = []
        for pid in pids:
            with suppress(psutil.Error):
                if any(line.laddr.port == port for line in psutil.Process(pid).net_connections("tcp")):
                    found.append(pid)
        return found

    # --- outages ---------------------------------------------------------------------------------

    @contextmanager
    def outage_of(self, what: str, broadcast: str | None = None) -> Iterator[None]:
        """Record an outage for the duration of the context."""
        outage = Outage(what, time.time(), broadcast=broadcast)
        with self._lock:
            self.away.append(outage)
        try:
            yield
        finally:
            outage.ended = time.time()

    def outage_between(self, since: float, until: float, broadcast: str) -> float:
        """Return for how many seconds of this interval an outage affected the broadcast. Overlapping outages count once."""
        with self._lock:
            spans = sorted(
                (max(outage.began, since), min(outage.ended, until))
                for outage in self.away
                if outage.during(since, until) > 0 and outage.broadcast in (None, broadcast)
            )
        total, reached = 0.0, since
        for began, ended in spans:
            total += max(0.0, ended - max(began, reached))
            reached = max(reached, ended)
        return total

    def longest_outage(self, broadcast: str) -> float:
        """Return the duration in seconds of the longest outage that affected the broadcast."""
        now = time.time()
        with self._lock:
            lasted = [
                min(outage.ended, now) - outage.began
                for outage in self.away
                if outage.broadcast in (None, broadcast)
            ]
        return max(lasted, default=0.0)

    # --- time ---------------------------------------------------------------------------------------------

    def shorten_deadlines(self) -> None:
        """Move all due times and deadlines that are more than five seconds away to one to five seconds from now."""
        later = "SELECT id, EXTRACT(EPOCH FROM expires_at)::float AS ends FROM broadcasts"
        self.deadlines |= {str(row.id): row.ends for row in self.rows(later)}
        soon = "now() + (1 + abs(hashtext({})) % 5) * interval '1 second'"
        with self.engine.begin() as connection:
            hurried = connection.execute(
                text(f"""
                    UPDATE broadcasts SET expires_at = {soon.format("id::text")}
                     WHERE expires_at > now() + interval '5 s' RETURNING id::text""")
            )
            # The timer of a changed deadline is moved as well, even if it is due within five seconds: if the deadline was
            # extended before, its timer is still due at the older time and would find the deadline in the future.
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
        """Return the pids of the main processes of workers, beat and API: the supervisor's children except the servers."""
        me = psutil.Process(self.system.process.pid)
        return [child.pid for child in me.children() if {"weelo_workers", "gunicorn"} & set(_words(child))]

    def leader(self, program: str) -> int | None:
        """Return the pid of the supervisor's child that runs this program, None if there is none."""
        family = self.system.pids(program)
        return next((pid for pid in self.children() if pid in family), None)

    def works(self, leader: int) -> bool:
        """Return whether this process or a descendant of it has a connection to PostgreSQL."""
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
        """Send a signal to these processes, and return how many of them were alive."""
        alive = 0
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                alive += psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
                psutil.Process(pid).send_signal(signum)
        return alive

    @contextmanager
    def stopped(self, pids: Sequence[int]) -> Iterator[None]:
        self.send(signal.SIGSTOP, pids)
        try:
            yield
        finally:
            self.send(signal.SIGCONT, pids)

    @staticmethod
    def pause_processes(pids: Sequence[int], seconds: float) -> int:
        """Wait for `seconds`, or until none of these processes is stopped any more. Return how many are still stopped."""
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
    """Records outages of beat (dead, stopped, or not yet connected to PostgreSQL) and stalls of the machine.

    If beat and the worker of the timers end together, as in a power cut, the outage lasts until both are connected to
    PostgreSQL again. It ends at the latest BOOT_SECONDS after beat is connected, because beat executes commands itself
    if no worker does.
    """

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
                    worked = self._worker_of_timers()
                    while not self._over.wait(0.1) and not self._ticks():
                        worked = worked and self._worker_of_timers()
                    until = time.monotonic() + BOOT_SECONDS
                    while not worked and time.monotonic() < until and not self._over.wait(0.1):
                        worked = self._worker_of_timers()

    def _worker_of_timers(self) -> bool:
        return any(self._stage.works(pid) for pid in self._stage.system.pids("timers"))

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
