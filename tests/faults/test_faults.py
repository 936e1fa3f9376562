"""Nothing that was accepted is lost, nothing takes effect twice: shown by breaking things for real.

One whole system with its own embedded servers, killed piece by piece; `weelo up` puts the pieces back.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from redis import Redis
from sqlalchemy import Engine, text

from tests.journeys.test_bad_input import BOOKING
from tests.system import System, doctor
from tests.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(240)]

SWEEP_SECONDS = 1.0


class Breakable:
    """A running system, its servers and its tables."""

    def __init__(self, folder: Path) -> None:
        self.system = System(
            folder, DATABASE_URL="", REDIS_URL="", BROADCAST_TIMEOUT_SECONDS="6", RADIUS_STEP_SECONDS="1"
        )
        self.postgres, self.valkey = Postgres(folder), Valkey(folder)
        self.engine: Engine = connect(self.postgres.url("weelo"))

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters).all())

    def redis(self) -> Redis:
        return Redis.from_url(self.valkey.url())

    def ask(self) -> tuple[UUID, str]:
        """A booking by a new customer, not waited for. Returns (customer, commandId); raises if not accepted."""
        customer = uuid4()
        with self.system.http(Role.CUSTOMER, customer) as asks:
            answer = asks.post("/bookings", json=BOOKING, headers={"Prefer": ""})
        if answer.status_code != 202:
            raise RuntimeError(answer.text)
        return customer, answer.json()["commandId"]

    def load(self, seconds: float, act: Callable[[], object]) -> list[tuple[UUID, str]]:
        """Bookings without pause from four threads for a while, with `act` in the middle. What was accepted."""
        accepted: list[tuple[UUID, str]] = []
        until = time.monotonic() + seconds

        def keep_asking() -> None:
            while time.monotonic() < until:
                # What raises was not accepted: no promise was made.
                with suppress(httpx.HTTPError, RuntimeError, json.JSONDecodeError):
                    accepted.append(self.ask())

        threads = [threading.Thread(target=keep_asking) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(accepted) > 10, within=20)
        act()
        for thread in threads:
            thread.join()
        return accepted

    def all_settled(self, accepted: list[tuple[UUID, str]], within: float = 30) -> None:
        """Every promise is kept, once: each command settled, with one broadcast and one `command_settled` line."""

        def pending() -> int:
            ids = [command for _, command in accepted]
            return int(
                self.rows(
                    "SELECT count(*) AS n FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[])) AND settled_at IS NULL",
                    ids=ids,
                )[0].n
            )

        eventually(lambda: pending() == 0, within=within, every=0.2)
        customers = [str(customer) for customer, _ in accepted]
        opened = Counter(
            row.customer_id
            for row in self.rows(
                "SELECT customer_id FROM broadcasts WHERE customer_id = ANY(CAST(:ids AS uuid[]))",
                ids=customers,
            )
        )
        assert opened == dict.fromkeys((customer for customer, _ in accepted), 1)
        eventually(lambda: self._untold() == 0, within=within, every=0.2)
        told = Counter(
            row.user_id
            for row in self.rows(
                "SELECT l.user_id FROM log_lines l JOIN events e ON e.id = l.event_id"
                " WHERE e.event = 'command_settled' AND l.user_id = ANY(CAST(:ids AS uuid[]))",
                ids=customers,
            )
        )
        assert told == dict.fromkeys((customer for customer, _ in accepted), 1)

    def _untold(self) -> int:
        return int(
            self.rows(
                "SELECT count(*) AS n FROM mailbox WHERE name = 'notifications.deliver' AND settled_at IS NULL"
            )[0].n
        )

    def lateness(self) -> list[float]:
        """Seconds between the deadline of each expired broadcast and its expiry."""
        return [
            float(row.late)
            for row in self.rows(
                "SELECT EXTRACT(EPOCH FROM state_changed_at - expires_at) AS late FROM broadcasts WHERE status = 'expired'"
            )
        ]


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breakable]:
    folder = tmp_path_factory.mktemp("faults") / "data"
    broken = Breakable(folder)
    yield broken
    broken.engine.dispose()
    broken.system.stop()
    broken.postgres.remove()
    broken.valkey.remove()


def test_TIMR_02_a_timer_outlives_a_kill_of_the_worker_that_held_its_countdown(breakable: Breakable) -> None:
    accepted = [breakable.ask() for _ in range(5)]
    breakable.all_settled(accepted)
    breakable.system.kill("timers")
    eventually(lambda: len(breakable.lateness()) >= 5, within=15)
    assert all(0 <= late < SWEEP_SECONDS + 1 for late in breakable.lateness())


def test_TIMR_02_expiries_are_on_time_though_redis_is_flushed_while_they_wait(breakable: Breakable) -> None:
    before = len(breakable.lateness())
    accepted = breakable.load(2, breakable.redis().flushall)
    breakable.all_settled(accepted)
    eventually(lambda: len(breakable.lateness()) >= before + len(accepted), within=20)
    assert all(0 <= late < SWEEP_SECONDS + 1.5 for late in breakable.lateness())


def test_commands_are_accepted_and_executed_while_redis_is_down(breakable: Breakable) -> None:
    valkey = breakable.valkey.pid()
    assert valkey
    os.kill(valkey, signal.SIGSTOP)  # worse than dead: it takes connections and does not answer
    try:
        accepted = [breakable.ask() for _ in range(3)]
        breakable.all_settled(accepted, within=30)
    finally:
        os.kill(valkey, signal.SIGCONT)


def test_IDEM_02_workers_killed_under_load_lose_nothing_and_do_nothing_twice(breakable: Breakable) -> None:
    def kill_them() -> None:
        for queue in ("broadcasts", "notifications", "timers", "broadcasts"):
            eventually(partial(breakable.system.pids, queue), within=20)
            breakable.system.kill(queue)

    breakable.all_settled(breakable.load(4, kill_them), within=40)


def test_redis_killed_under_load_loses_nothing_that_was_accepted(breakable: Breakable) -> None:
    breakable.all_settled(breakable.load(4, breakable.valkey.kill), within=40)


def test_an_api_killed_under_load_keeps_what_it_accepted(breakable: Breakable) -> None:
    breakable.all_settled(breakable.load(4, lambda: breakable.system.kill("gunicorn")), within=40)


def test_the_second_clock_killed_under_load_comes_back(breakable: Breakable) -> None:
    breakable.all_settled(breakable.load(3, lambda: breakable.system.kill("beat")), within=40)


def test_postgres_killed_under_load_keeps_what_it_accepted_and_refuses_the_rest(breakable: Breakable) -> None:
    accepted = breakable.load(5, breakable.postgres.kill)
    breakable.engine.dispose()
    eventually(lambda: _answers(breakable), within=30)
    breakable.all_settled(accepted, within=40)


def test_CNCL_05_afterwards_nothing_is_left_and_the_doctor_finds_nothing(breakable: Breakable) -> None:
    def unsettled() -> int:
        return int(breakable.rows("SELECT count(*) AS n FROM mailbox WHERE settled_at IS NULL")[0].n)

    eventually(lambda: unsettled() == 0, within=40, every=0.2)
    gaps = breakable.rows("SELECT user_id FROM log_lines GROUP BY user_id HAVING max(seq) <> count(*)")
    assert gaps == []
    # Whoever was killed last may not have answered the roll call yet.
    eventually(lambda: doctor(breakable.system) == [], within=30, every=0.5)


def _answers(breakable: Breakable) -> bool:
    try:
        return bool(breakable.rows("SELECT 1"))
    except Exception:
        return False
