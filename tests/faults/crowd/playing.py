"""Runs the script while faults are injected, then reads the server's state for comparison."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from tests.faults.crowd.listener import WITHDRAWALS, Listener
from tests.faults.crowd.phone import Phone, PhonePoller
from tests.faults.crowd.script import (
    LINES,
    LISTENERS,
    REDIS_HANGS_SECONDS,
    REDIS_IS_DEAD_SECONDS,
    Script,
    Wish,
)
from tests.faults.fault_system import FaultSystem
from tests.support.people import book
from tests.support.tokens import token
from tests.support.waiting import eventually, pid_of
from weelo_client import Rejected, WeeloClient, WeeloError, open_pool
from weelo_workers.contracts.queues import Queue
from weelo_workers.contracts.statuses import Role

SETTINGS = {
    "BROADCAST_TIMEOUT_SECONDS": "6",
    "RADIUS_STEP_SECONDS": "1",
    # The next two settings keep presence from expiring, and slots from being reopened, during this test.
    "PRESENCE_TTL_SECONDS": "3600",
    "DRIVER_ACCEPT_SECONDS": "86400",
    "MAX_OPEN_OFFERS": "10000",
}
REFERENCE_CLIENTS = 5
STANDING = 3
QUIET_WITHIN = 60 + LINES / 300


class Crowd:
    """Runs the script with all listeners. Use as a context manager.

    `listed`: tuples (listener, offers according to its frames, offers according to the server), read while some
    requests are open and again when none is. `logs`: the server's log of each listener.
    """

    def __init__(self, fault_system: FaultSystem) -> None:
        self.fault_system = fault_system
        self.listeners: list[Listener] = []
        self.exchange: PhonePoller | None = None
        self.said: Counter[str] = Counter()
        self.deaths: Counter[str] = Counter()
        self.listed: list[tuple[Listener, set[str], set[str]]] = []
        self.logs: list[list[Any]] = []
        self._standing: list[str] = []
        self._http = open_pool(fault_system.system.url, connections=64)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        if self.exchange is not None:
            self.exchange.close()
        for listener in self.listeners:
            if listener.channel is not None:
                listener.channel.close()
        self._http.close()

    @property
    def phones(self) -> list[Phone]:
        return [each.phone for each in self.listeners if each.phone is not None]

    def gather(self, dice: random.Random) -> None:
        """Register all listeners with their trucks and open their sockets."""
        for _ in range(LISTENERS):
            user_id = uuid4()
            self.listeners.append(Listener(self._client(Role.TRANSPORTER, user_id), user_id, dice))
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(Listener.sign_on, self.listeners))
        for each in self.listeners[:REFERENCE_CLIENTS]:
            each.listen()
        for each in self.listeners[REFERENCE_CLIENTS:]:
            bearer = token(Role.TRANSPORTER, each.id, ttl=7200)
            each.phone = Phone(self.fault_system.system.port, bearer, each.cards)
        self.exchange = PhonePoller(self.phones)

    def _client(self, role: Role, user_id: UUID) -> WeeloClient:
        bearer = token(role, user_id, ttl=7200)
        return WeeloClient(self.fault_system.system.url, bearer, wait=20, retry_for=40, http=self._http)

    # --- the play -----------------------------------------------------------------------------------------

    def play(self, script: Script) -> None:
        acts: list[tuple[float, Callable[[], None]]] = [
            *((wish.at, partial(self._wish, wish)) for wish in script.wishes),
            *((at, partial(self._cut, self.listeners[whose], how)) for at, whose, how in script.cuts),
            *(
                (at, partial(self._kill_an_api_process, which))
                for at, which in script.deaths_of_an_api_process
            ),
            *((at, partial(self._kill_workers, queue)) for at, queue in script.deaths_of_workers),
            (script.redis_hangs_at, self._break_redis),
        ]
        began = time.monotonic()
        with ThreadPoolExecutor(64) as pool:
            under_way: list[Future[None]] = []
            for at, act in sorted(acts, key=lambda each: each[0]):
                _wait_until(began + at)
                under_way.append(pool.submit(act))
            for each in under_way:
                each.result()

    def _wish(self, wish: Wish) -> None:
        """Run one request until it has ended, or until only its timer can end it."""
        customer = self._client(Role.CUSTOMER, uuid4())
        began = time.monotonic()
        try:
            booking = book(customer, trucks=wish.trucks)["id"]
        except WeeloError as problem:
            self.said[f"not asked: {_why(problem)}"] += 1
            return
        listeners = random.Random(wish.seed).sample(self.listeners, len(self.listeners))
        unwilling, willing = listeners[: wish.declined_by], listeners[wish.declined_by :]
        for listener in unwilling:
            with suppress(AssertionError):  # not every listener gets the offer in time: some are too far away
                left = began + wish.after - time.monotonic()
                eventually(lambda: booking in listener.cards.open, within=left, exactly=True)  # noqa: B023
                self._decline(listener, booking)
        _wait_until(began + wish.after)
        if wish.ending in ("taken", "taken, then cancelled"):
            self._accept(willing, booking, wish.trucks)
        if wish.ending == "partly taken":
            self._accept(willing, booking, max(1, wish.trucks - 1))
        if wish.ending in ("cancelled", "taken, then cancelled"):
            self._did("cancel", partial(customer.cancel_booking, booking))

    def _accept(self, willing: Sequence[Listener], booking: str, trucks: int) -> None:
        """Let listeners with this offer on their list accept until `trucks` of them have succeeded."""
        for listener in [each for each in willing if booking in each.cards.open][: 2 * trucks]:
            if trucks and self._did("accept", partial(listener.accept, booking)):
                trucks -= 1

    def _decline(self, listener: Listener, booking: str) -> None:
        self._did("decline", partial(listener.client.decline, booking))

    def _did(self, what: str, command: Callable[[], object]) -> bool:
        """Run a command and return whether it succeeded.

        A rejection is no error here, because the command may come too late.
        """
        try:
            command()
        except WeeloError as problem:
            self.said[f"no {what}: {_why(problem)}"] += 1
            return False
        self.said[what] += 1
        return True

    def _cut(self, listener: Listener, how: str) -> None:
        if listener.phone is not None and self.exchange is not None:
            self.exchange.cut(listener.phone, how)
        else:
            listener.is_cut_off()

    def _kill_an_api_process(self, which: float) -> None:
        processes = eventually(self.fault_system.system.api_processes, within=20)
        doomed = processes[int(which * len(processes))]
        self.deaths["an API process"] += self.fault_system.send(signal.SIGKILL, [doomed])

    def _kill_workers(self, queue: Queue) -> None:
        workers = eventually(partial(self.fault_system.system.pids, queue), within=20)
        self.deaths["workers"] += self.fault_system.send(signal.SIGKILL, workers)

    def _break_redis(self) -> None:
        """Suspend Redis, so that it accepts connections and does not answer. Then kill it, and kill it after each restart.

        After REDIS_IS_DEAD_SECONDS Redis may start again, and loads its data from disk.
        """
        with self.fault_system.stopped(self._redis()):
            _wait_until(time.monotonic() + REDIS_HANGS_SECONDS)
            self.fault_system.valkey.kill()
            self.deaths["Redis"] += 1
        back_at = time.monotonic() + REDIS_IS_DEAD_SECONDS
        while time.monotonic() < back_at:
            self.fault_system.valkey.kill()
            time.sleep(0.2)

    def _redis(self) -> list[int]:
        return [pid_of(self.fault_system.valkey, within=QUIET_WITHIN)]

    # --- afterwards -----------------------------------------------------------------------------------

    def compare(self, dice: random.Random) -> None:
        """Read the server's offer lists while some requests are open and after all are over, then the logs."""
        self._be_quiet()
        customers = [self._client(Role.CUSTOMER, uuid4()) for _ in range(STANDING)]
        for customer in customers:
            self._standing.append(book(customer, trucks=3)["id"])
            # The deadlines are postponed, because the requests might expire before all lists are read. Their timers
            # need no change: a timer that runs before `expires_at` sets another one.
            with self.fault_system.engine.begin() as connection:
                later = "UPDATE broadcasts SET expires_at = expires_at + interval '1 hour' WHERE id = :id"
                connection.execute(text(later), {"id": self._standing[-1]})
        for booking in self._standing:
            some = eventually(partial(self._four_who_have, booking, dice), within=QUIET_WITHIN)
            self._accept(some[:1], booking, 1)
            for listener in some[1:]:
                self._decline(listener, booking)
        self._compare_lists()
        # Each listener with an offer gets a log line about the cancellation. If a client missed earlier lines, the
        # `seq` of this line shows the gap.
        with self.fault_system.stopped(self._redis()):
            with ThreadPoolExecutor(STANDING) as pool:
                list(pool.map(WeeloClient.cancel_booking, customers, self._standing))
            self._standing = []
            self._be_quiet()
        self._compare_lists()
        with ThreadPoolExecutor(8) as pool:
            self.logs = list(pool.map(Listener.log, self.listeners))

    def _four_who_have(self, booking: str, dice: random.Random) -> list[Listener]:
        near = [each for each in self.listeners if booking in each.cards.open]
        return dice.sample(near, 4) if len(near) >= 4 else []

    def _compare_lists(self) -> None:
        self._be_quiet()
        with ThreadPoolExecutor(8) as pool:
            listed = list(pool.map(Listener.listed, self.listeners))
        for each, from_server in zip(self.listeners, listed, strict=True):
            self.listed.append((each, set(each.cards.open), from_server))

    def _be_quiet(self) -> None:
        """Wait until all lines are received, all due commands are settled, and all requests except `_standing` have ended."""

        def over() -> bool:
            others = "SELECT DISTINCT status FROM broadcasts WHERE id <> ALL(CAST(:ids AS uuid[]))"
            return {row.status for row in self.fault_system.rows(others, ids=self._standing)} <= set(
                WITHDRAWALS
            )

        def done() -> bool:
            return not self.fault_system.rows(
                "SELECT 1 FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL"
                " AND (due_at <= clock_timestamp() OR name = 'broadcasts.widen') LIMIT 1"
            )

        def heard() -> bool:
            newest = {
                row.user_id: row.seq for row in self.fault_system.rows("SELECT user_id, seq FROM log_heads")
            }
            behind = [each.cards for each in self.listeners if each.cards.newest < newest[each.id]]
            assert not behind, (
                f"{len(behind)} listeners miss lines; {[cards.wrong for cards in behind if cards.wrong]}"
            )
            return True

        for condition in (over, done, heard):
            eventually(condition, within=QUIET_WITHIN, every=0.2)

    def summary(self) -> str:
        cards = [each.cards for each in self.listeners]
        reconnects = sum(each.channel.reconnects for each in self.listeners if each.channel is not None)
        ended = self.fault_system.rows(
            "SELECT status, end_reason, count(*) AS n FROM broadcasts GROUP BY 1, 2 ORDER BY 1, 2"
        )
        turned_away = sum((phone.turned_away for phone in self.phones), Counter[int]())
        connections = sum(phone.connections for phone in self.phones)
        return f"""\
{len(cards)} listeners, {sum(row.n for row in ended)} broadcasts
lines: {sum(each.newest for each in cards)} received, {sum(each.repeated for each in cards)} repeated
connections: {connections} of {len(self.phones)} phones, turned away {dict(turned_away)};
  {reconnects} reconnects of {REFERENCE_CLIENTS} reference clients
killed: {dict(self.deaths)}
done: {dict(self.said)}
ended: {[tuple(row) for row in ended]}"""


def _why(problem: WeeloError) -> str:
    return problem.code if isinstance(problem, Rejected) else type(problem).__name__


def _wait_until(moment: float) -> None:
    """Sleep until this moment of the monotonic clock."""
    time.sleep(max(0.0, moment - time.monotonic()))
