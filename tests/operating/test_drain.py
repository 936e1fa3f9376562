"""After SIGTERM a process finishes its work, takes no more, returns waiting messages to the broker, and exits in time.

After SIGHUP a worker does the same, and starts again.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
from sqlalchemy import text

from tests.support.api_process import Api
from tests.support.people import BOOKING
from tests.support.servers import DRAINED, own_database, own_redis
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.messaging.worker_heartbeats import consumers
from weelo_workers.models.engine import connect
from weelo_workers.redis_client import redis

Begin = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def worker() -> Iterator[Begin]:
    """Yield a function that starts a real worker with one process for a queue, and waits until it consumes the queue."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(queue: str) -> subprocess.Popen[bytes]:
        arguments = ("--quiet", "worker", f"--queues={queue}", "--concurrency=1")
        command = [sys.executable, "-P", "-m", "weelo_workers", *arguments, "--loglevel=WARNING"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        begun.append(process)
        eventually(lambda: consumers()[queue] >= 1, within=30)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def post(world: World) -> UUID:
    user_id = uuid4()
    details = DriverDetails(name="A driver", phone="+91 98100 00000")
    return world.post(
        RegisterDriver(transporter_id=user_id, driver_id=uuid4(), details=details), user_id, Role.TRANSPORTER
    )


def settled(world: World, command_id: UUID) -> bool:
    query = "SELECT settled_at IS NOT NULL FROM mailbox WHERE id = :id"
    return bool(world.value(query, id=command_id))


def waits_for_a_lock(world: World) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(world.value(query))


def test_a_worker_finishes_what_it_has_begun_and_takes_nothing_new(world: World, worker: Begin) -> None:
    process, waker = worker("fleet"), CeleryWaker()
    begun, new = post(world), post(world)
    with world.engine.begin() as holder:
        holder.execute(text("SELECT 1 FROM mailbox WHERE id = :id FOR UPDATE"), {"id": begun})
        waker.wake(WakeUp(begun, RegisterDriver.name, "fleet"))
        eventually(lambda: waits_for_a_lock(world))
        process.send_signal(signal.SIGTERM)
        waker.wake(WakeUp(new, RegisterDriver.name, "fleet"))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        assert not settled(world, new)
    assert process.wait(timeout=10) == 0
    assert settled(world, begun) and not settled(world, new)
    worker("fleet")
    eventually(lambda: settled(world, new))


@pytest.mark.long
def test_on_SIGHUP_a_worker_is_replaced_by_the_command_that_started_it(world: World, worker: Begin) -> None:
    program = psutil.Process(worker("fleet").pid)
    command, children = program.cmdline(), program.children()
    program.send_signal(signal.SIGHUP)
    eventually(lambda: program.children() and not set(program.children()) & set(children), within=30)
    assert program.cmdline() == command
    registration, waker = post(world), CeleryWaker()
    waker.wake(WakeUp(registration, RegisterDriver.name, "fleet"))
    eventually(lambda: settled(world, registration))


@pytest.mark.long
def test_a_worker_hands_back_the_countdowns_that_it_holds(world: World, worker: Begin) -> None:
    process, waker = worker("timers"), CeleryWaker()
    for _ in range(20):
        waker.wake(WakeUp(uuid4(), "broadcasts.expire", "timers", countdown=3_000))
    eventually(lambda: redis().llen("weelo:celery:timers") == 0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert redis().llen("weelo:celery:timers") == 20
    assert redis().hlen("weelo:celery:unacked") == 0
    worker("timers")
    eventually(lambda: redis().llen("weelo:celery:timers") == 0)


def _book(api: Api) -> httpx.Response:
    return httpx.post(
        f"http://127.0.0.1:{api.port}/api/v1/bookings",
        json=BOOKING,
        headers={"Authorization": f"Bearer {token('customer', uuid4())}", "Prefer": "wait=20"},
        timeout=30,
    )


@pytest.mark.long_except("True")
@pytest.mark.parametrize("somebody_works", [True, False])
def test_an_api_answers_who_waits_for_an_outcome_before_it_ends(world: World, somebody_works: bool) -> None:
    api = Api(workers=2)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_book, api)
        [command] = eventually(lambda: world.rows("SELECT id FROM mailbox"))
        ended = threading.Thread(target=api.stop)
        ended.start()
        if somebody_works:
            # The API's stream reader ends within a second. Only then is the command executed, so the API has to read the
            # outcome from the row.
            time.sleep(1)
            world.bus.execute(command.id)
        answer = asked.result(timeout=10)
    ended.join(timeout=15)
    assert api.process.poll() == 0
    assert answer.status_code == (201 if somebody_works else 202)


@pytest.mark.long
def test_everything_ends_in_time_under_load_and_what_was_accepted_is_executed_afterwards(
    tmp_path: Path,
) -> None:
    database, servers = own_database(DRAINED), {"REDIS_URL": own_redis(DRAINED)}
    system = System(tmp_path / "data", DATABASE_URL=database, **servers)
    accepted: list[str] = []
    stopping = threading.Event()

    def keep_asking() -> None:
        while not stopping.is_set():
            with suppress(httpx.HTTPError), system.http(Role.CUSTOMER, uuid4()) as asks:
                answer = asks.post("/bookings", json=BOOKING, headers={"Prefer": ""})
                if answer.status_code == 202:
                    accepted.append(answer.json()["commandId"])

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(accepted) > 30, within=20)
    began = time.monotonic()
    system.process.send_signal(signal.SIGTERM)
    assert system.process.wait(timeout=20) == 0
    assert time.monotonic() - began < 15
    assert "did not stop in time" not in "".join(system.printed), "it was killed"
    stopping.set()
    for thread in threads:
        thread.join()

    again = System(tmp_path / "data", DATABASE_URL=database, **servers)
    engine = connect(database)

    def pending() -> list[Any]:
        query = "SELECT id FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[])) AND settled_at IS NOT NULL"
        with engine.connect() as connection:
            done = connection.execute(text(query), {"ids": accepted}).all()
        return sorted(set(accepted) - {str(row.id) for row in done})

    eventually(lambda: not pending(), within=30)
    engine.dispose()
    again.stop()
