"""Plays a restore: a dump is made while commands run, the server is lost, and the system goes on with a restored one.

The commands are those of docs/runbooks/restore.md.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support.people import DROP, OPEN, PICKUP, UNAVAILABLE_KIND, Listener, Truck, book
from tests.support.programs import weelo_here
from tests.support.servers import RESTORED, own_redis, own_roles
from tests.support.system import System, SystemWithOneWorker, doctor
from tests.support.waiting import eventually
from weelo_client import WeeloClient
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.restart_logs import JUMP
from weelo_workers.redis_client import connect as connect_redis
from weelo_workers.runtime.embedded import Postgres

pytestmark = [pytest.mark.long, pytest.mark.timeout(300), pytest.mark.xdist_group("restore")]

SETTINGS = {"BROADCAST_TIMEOUT_SECONDS": "8", "RADIUS_STEP_SECONDS": "1"}


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Postgres]]:
    """Yield two servers that are not started: the one that will be lost, and the one for the restore."""
    both = [Postgres(tmp_path_factory.mktemp("postgres"), {"fsync": "off"}) for _ in range(2)]
    yield both
    for server in both:
        server.remove()


def run(server: Postgres, program: str, *arguments: str) -> None:
    # The program is taken from the server's installation, so that both have the same version.
    path = server._installation().binaries / program
    done = subprocess.run([str(path), *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@dataclass
class Before:
    """What users know from the server that will be lost."""

    dump: Path
    filled: tuple[UUID, str]
    """A customer and their booking."""
    waiting: tuple[UUID, str]
    lost: tuple[UUID, str, str]
    """A customer, the key of a request that came after the dump, and its booking."""
    ahead: tuple[UUID, int]
    """A customer whose log has lines after the dump, and its newest `seq`."""


def test_a_restored_system_goes_on_and_apps_notice(servers: list[Postgres], tmp_path: Path) -> None:
    first, second = servers
    redis = own_redis(RESTORED)
    first.start()
    settings = {**SETTINGS, "REDIS_URL": redis, "DATABASE_URL": first.create_database("weelo")}
    system = SystemWithOneWorker(tmp_path / "before", **settings)
    try:
        seen = dumped_while_commands_run(system, first, tmp_path / "weelo.dump")
    finally:
        system.stop()
    first.remove()

    second.start()
    settings["DATABASE_URL"] = second.create_database("weelo")
    restore(second, seen.dump, settings)
    connect_redis(redis).flushdb()
    system = SystemWithOneWorker(tmp_path / "after", **settings)
    try:
        goes_on(system, seen)
        eventually(lambda: doctor(system) == [], within=60, every=1)
    finally:
        system.stop()


def dumped_while_commands_run(system: System, server: Postgres, dump: Path) -> Before:
    ids = [uuid4() for _ in range(4)]
    filling, waiting, losing, ahead = (system.client(Role.CUSTOMER, each) for each in ids)
    truck = Truck(system)
    filled = book(filling)["id"]
    truck.accept(filled)
    # The timer of this booking will be overdue when the restored system starts.
    unfilled = book(waiting, UNAVAILABLE_KIND)["id"]
    asks_and_cancels(ahead, 1)

    over = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(busy_until, over, system.client(Role.CUSTOMER, uuid4())) for _ in range(4)]
        url = system.environment["DATABASE_URL"]
        run(server, "pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--file={dump}", url)
        over.set()
        assert all(each.result() > 0 for each in busy), "no command ran during the dump"

    key = str(uuid4())
    lost = losing.create_booking(PICKUP, DROP, *OPEN, trucks_needed=1, key=key)["id"]
    asks_and_cancels(ahead, 2)
    newest = ahead.events(limit=500)[-1]["seq"]
    return Before(dump, (ids[0], filled), (ids[1], unfilled), (ids[2], key, lost), (ids[3], newest))


def restore(server: Postgres, dump: Path, settings: dict[str, str]) -> None:
    url = settings["DATABASE_URL"]
    run(server, "pg_restore", "--no-owner", "--no-acl", "--exit-on-error", f"--dbname={url}", str(dump))
    for command in (("migrate",), ("events", "restart", "--yes")):
        done = weelo_here(*command, **settings, **own_roles(url))
        assert done.returncode == 0, done.stderr


def goes_on(system: System, seen: Before) -> None:
    customer, booking = seen.filled
    assert system.client(Role.CUSTOMER, customer).booking(booking)["status"] == "fully_filled"
    customer, booking = seen.waiting
    waiting = system.client(Role.CUSTOMER, customer)
    eventually(lambda: waiting.booking(booking)["status"] == "expired")

    # The effect of this request is lost, so the request is executed when the app repeats it.
    customer, key, lost = seen.lost
    losing = system.client(Role.CUSTOMER, customer)
    again = losing.create_booking(PICKUP, DROP, *OPEN, trucks_needed=1, key=key)["id"]
    assert again != lost
    losing.cancel_booking(again)

    # This app has read lines that were lost. When it reconnects, its log has more new lines than were lost. It would not
    # notice the loss if the numbers of the restored log did not continue far above the lost ones.
    customer, newest = seen.ahead
    ahead = system.client(Role.CUSTOMER, customer)
    asks_and_cancels(ahead, 3)
    phone = Listener(ahead, after=newest)
    assert phone.until("resync_required").data["oldestSeq"] > JUMP
    booking = book(ahead)["id"]
    phone.until("broadcast_state_changed", broadcastId=booking, status="created")
    phone.close()


def asks_and_cancels(customer: WeeloClient, times: int) -> None:
    for _ in range(times):
        customer.cancel_booking(book(customer)["id"])


def busy_until(over: threading.Event, customer: WeeloClient) -> int:
    """Book and cancel until `over` is set, at least once. Return the number of bookings."""
    times = 0
    while times == 0 or not over.is_set():
        asks_and_cancels(customer, 1)
        times += 1
    return times
