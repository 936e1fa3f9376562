"""A whole system behind a real PgBouncer in transaction mode, with fewer connections to PostgreSQL than processes use."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from tests.support.fcm_server import FcmServer
from tests.support.people import UNAVAILABLE_KIND, Listener, Truck, book
from tests.support.pooler import PROGRAMS, RefusingProxy, pgbouncer
from tests.support.programs import weelo
from tests.support.servers import BEHIND_PGBOUNCER, REFUSED_BY_PGBOUNCER, own_database, own_redis, own_roles
from tests.support.system import System, doctor
from tests.support.waiting import eventually
from weelo_client import Rejected, WeeloClient
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import LIMITS, connect

pytestmark = pytest.mark.xdist_group("behind pgbouncer")
needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer", path=PROGRAMS) is None, reason="Debian's pgbouncer is not installed"
)

CONNECTIONS = 3
"""The connections to PostgreSQL per role. The API alone opens more to PgBouncer."""

END = text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) AS pid")
BACKENDS = text("SELECT pid, usename FROM pg_stat_activity WHERE usename = ANY(:roles)")


T = TypeVar("T")


def unless_unavailable(act: Callable[[], T]) -> T | None:
    """Return the result of the call; None if the API answers 503."""
    try:
        return act()
    except Rejected as refused:
        if refused.status != 503:
            raise
        return None


@dataclass
class Behind:
    """A system whose API, workers and beat connect through PgBouncer. `direct`: an engine that connects to PostgreSQL."""

    system: System
    direct: Engine
    roles: dict[str, str]
    fcm: FcmServer

    def backends(self) -> list[int]:
        names = [str(make_url(url).username) for url in self.roles.values()]
        with self.direct.connect() as connection:
            return list(connection.execute(BACKENDS, {"roles": names}).scalars())


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    database, fcm = own_database(BEHIND_PGBOUNCER), FcmServer()
    roles = own_roles(database)
    engine = connect(database)
    with pgbouncer(*roles.values(), default_pool_size=str(CONNECTIONS)) as through:
        port = make_url(through).port
        urls = {
            name: make_url(url).set(host="127.0.0.1", port=port).render_as_string(False)
            for name, url in roles.items()
        }
        running = System(
            tmp_path_factory.mktemp("behind pgbouncer") / "data",
            DATABASE_URL=database,
            REDIS_URL=own_redis(BEHIND_PGBOUNCER),
            FCM_ENDPOINT=fcm.url,
            BROADCAST_TIMEOUT_SECONDS="8",
            RADIUS_STEP_SECONDS="1",
            **urls,
        )
        yield Behind(running, engine, roles, fcm)
        running.stop()
    engine.dispose()
    fcm.close()


@pytest.mark.long
@needs_pgbouncer
def test_a_booking_is_filled_another_expires_and_pushes_are_sent(behind: Behind) -> None:
    system = behind.system
    truck = Truck(system)
    truck.client.register_device("phone-of-the-fleet", "android")
    customer, other = (system.client(Role.CUSTOMER, uuid4()) for _ in range(2))
    phone = Listener(other)
    booking = book(customer)["id"]
    assert truck.accept(booking)["status"] == "fully_filled"
    assert customer.cancel_booking(booking)["assignmentsCancelled"] == 1
    lonely = book(other, UNAVAILABLE_KIND)["id"]
    phone.until("no_vehicles_available", broadcastId=lonely)
    phone.close()
    eventually(lambda: behind.fcm.received)
    truck.available(False)
    assert 0 < len(behind.backends()) <= 2 * CONNECTIONS
    assert doctor(system) == []


@pytest.mark.long
@needs_pgbouncer
def test_the_time_limits_of_the_roles_are_in_force_and_none_leaks_to_another_client(behind: Behind) -> None:
    """The sweep has a shorter lock_timeout. PgBouncer's connections are shared, but no other client may get that limit."""
    url = behind.system.environment["DATABASE_WORKERS_URL"]
    sweeping, ordinary = connect(url, lock_timeout="300ms"), connect(url)
    query = text("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
    for _ in range(5 * CONNECTIONS):
        with sweeping.begin() as connection:
            assert connection.execute(query).one()[0] == "300ms"
        with ordinary.begin() as connection:
            assert tuple(connection.execute(query).one()) == (
                LIMITS["lock_timeout"],
                LIMITS["statement_timeout"],
            )
    sweeping.dispose()
    ordinary.dispose()


@pytest.mark.long
@needs_pgbouncer
def test_no_command_fails_when_postgresql_ends_the_connections_of_pgbouncer(behind: Behind) -> None:
    """PostgreSQL ends all connections every 0.5 s, as in a failover, while customers book and cancel."""
    system = behind.system
    truck = Truck(system)
    customers = [system.client(Role.CUSTOMER, uuid4()) for _ in range(4)]
    over = threading.Event()

    def book_and_cancel(customer: WeeloClient) -> str:
        booking = eventually(lambda: unless_unavailable(lambda: book(customer)))["id"]
        eventually(lambda: unless_unavailable(lambda: customer.cancel_booking(booking)))
        return customer.booking(booking)["status"]

    def book_and_cancel_until_over(customer: WeeloClient) -> list[str]:
        states = []
        while not over.is_set():
            states.append(book_and_cancel(customer))
        return states

    with ThreadPoolExecutor(len(customers)) as pool:
        booking = [pool.submit(book_and_cancel_until_over, customer) for customer in customers]
        try:
            for _ in range(6):
                over.wait(0.5)
                with behind.direct.begin() as connection:
                    connection.execute(END, {"pids": behind.backends()})
        finally:
            over.set()
        of_customers = [each.result() for each in booking]
    assert all(states and set(states) == {"cancelled"} for states in of_customers)
    with behind.direct.connect() as connection:
        failed = connection.execute(text("SELECT name, last_error FROM mailbox WHERE attempts > 0")).all()
    assert failed == []
    truck.available(False)
    assert doctor(system) == []


def test_a_sandbox_is_refused_behind_a_pooler_that_drops_its_search_path() -> None:
    """Without its search_path, a sandbox would read the real clock and not notice."""
    with RefusingProxy(own_database(REFUSED_BY_PGBOUNCER)) as pooler:
        refused = weelo("migrate", DATABASE_URL=pooler.url, WEELO_ENV="sandbox")
    assert refused.returncode == 2, os.linesep.join((refused.stdout, refused.stderr))
    assert refused.stderr.startswith("weelo: DATABASE_URL: its search_path hides the clock")
