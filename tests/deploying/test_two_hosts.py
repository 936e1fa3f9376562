"""Two hosts with workers, and a third with PostgreSQL, Redis, beat and the API. A host is cut off while commands come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import httpx
import psutil
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from tests.deploying import network
from tests.deploying.network import SERVERS, Network
from tests.support.people import DROP, OPEN, PICKUP, UNAVAILABLE_KIND, Truck
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_client import Rejected, StillPending, Unreachable, WeeloClient, open_pool
from weelo_lab.truths import TRUTHS
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.worker_heartbeats import consumers
from weelo_workers.models.engine import connect
from weelo_workers.redis_client import connect as connect_redis
from weelo_workers.runtime import programs
from weelo_workers.runtime.programs import Options

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("two hosts"),
    pytest.mark.skipif(network.why_not() is not None, reason=str(network.why_not())),
]

HOSTS = ("a", "b")
CUT_SECONDS = 20.0
BOOKINGS = 20
PORT = 8000

T = TypeVar("T")

OVERDUE = text("""
    SELECT name, due_at, attempts, crashes, last_error FROM mailbox
     WHERE settled_at IS NULL AND due_at < statement_timestamp() - interval '2 s'
""")


class Hosts:
    """The running hosts. `client` has the signature of `System.client`."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.network = Network(*HOSTS)
        address = self.network.servers_address
        self.url = f"http://{address}:{PORT}"
        stack.callback(self.network.remove)
        self._folder, self._stack = folder, stack
        self.processes: dict[str, subprocess.Popen[str]] = {}
        command = [sys.executable, "-m", "tests.deploying.servers", address, str(folder / "servers")]
        servers = self._begin(SERVERS, "servers", command, dict(os.environ), subprocess.PIPE)
        assert servers.stdout is not None
        self.urls: dict[str, str] = json.loads(servers.stdout.readline())
        self._connections = open_pool(self.url, connections=100)
        stack.callback(self._connections.close)
        self.network.run(SERVERS, programs.migration(), self._environment(SERVERS))
        self.engine: Engine = connect(self.urls["DATABASE_URL"])
        stack.callback(self.engine.dispose)

        options = Options(folder, host=address, port=PORT, flower_port=None)
        worker, beat = programs.workers(options)
        (api,) = programs.api(options)
        for host in HOSTS:
            named = [
                f"--hostname=worker@{host}" if word.startswith("--hostname=") else word
                for word in worker.argv
            ]
            self._begin(host, f"worker of {host}", named, self._environment(host))
        self._begin(SERVERS, "beat", beat.argv, self._environment(SERVERS))
        self._begin(SERVERS, "api", api.argv, self._environment(SERVERS))
        redis = connect_redis(self.urls["REDIS_URL"])
        stack.callback(redis.close)
        eventually(lambda: consumers(redis) == dict.fromkeys(QUEUES, len(HOSTS)), within=60)
        eventually(self._answers, within=60)

    def client(self, role: Role, user_id: UUID) -> WeeloClient:
        return WeeloClient(self.url, token(role, user_id), wait=20, http=self._connections)

    def truck(self) -> Truck:
        return Truck(cast(System, self))  # `Truck` calls only the method `client`, which this class has, too

    def is_healthy(self) -> bool:
        """Return True if `weelo doctor` finds nothing. Raises AssertionError with its findings."""
        command = [sys.executable, "-m", "weelo_workers.cli", "doctor"]
        self.network.run(SERVERS, command, self._environment(SERVERS))
        return True

    def rows(self, query: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(query).all())

    def _environment(self, host: str) -> dict[str, str]:
        metrics = self._folder / f"metrics-{host}"
        metrics.mkdir(exist_ok=True)
        settings = {
            "BROADCAST_TIMEOUT_SECONDS": "50",
            "RADIUS_STEP_SECONDS": "1",
            "METRICS_DIR": str(metrics),
        }
        return programs.environment({**self.urls, **settings})

    def _begin(
        self, host: str, name: str, command: Any, environment: dict[str, str], output: int | None = None
    ) -> subprocess.Popen[str]:
        log = (self._folder / f"{name}.log").open("w")
        process = self.network.begin(host, command, environment, log if output is None else output)
        log.close()
        self.processes[name] = process
        self._stack.callback(_end, process)
        return process

    def _answers(self) -> bool:
        try:
            answer = self._connections.get(f"{self.url}/readyz")
        except httpx.HTTPError as problem:
            raise AssertionError(str(problem)) from problem
        assert answer.status_code == 200, answer.text
        return True


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with ExitStack() as stack:
        # The folder is not inside pytest's folder, because PostgreSQL runs as another user, who may not enter that
        # folder.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weelo-hosts-")))
        folder.chmod(0o755)
        yield Hosts(stack, folder)


def persist(act: Callable[[], T], seconds: float = 60) -> T:
    """Repeat a call until it has an outcome, as an app does. The call needs an idempotency key: it may be sent twice."""

    def once() -> list[T]:
        try:
            return [act()]
        except (StillPending, Unreachable) as late:
            raise AssertionError(str(late)) from late
        except Rejected as refused:
            if refused.status != 503:
                raise
            raise AssertionError(str(refused)) from refused

    return eventually(once, within=seconds, every=0.2)[0]


def fill_one(hosts: Hosts, truck: Truck, starts_at: float) -> str:
    """Book a truck, accept, and let the driver accept. Return the booking's id."""
    time.sleep(max(0.0, starts_at - time.monotonic()))
    customer, driver = hosts.client(Role.CUSTOMER, uuid4()), hosts.client(Role.DRIVER, truck.driver)
    asked, taken, answered = (str(uuid4()) for _ in range(3))
    booking = persist(lambda: customer.create_booking(PICKUP, DROP, *OPEN, trucks_needed=1, key=asked))["id"]
    again = persist(lambda: customer.create_booking(PICKUP, DROP, *OPEN, trucks_needed=1, key=asked))["id"]
    assert again == booking, "the same key made a second booking"
    won = persist(lambda: truck.client.accept(booking, truck.vehicle, str(truck.driver), key=taken))
    (assignment,) = won["assignments"]
    persist(lambda: driver.accept_assignment(assignment["id"], key=answered))
    return booking


@contextmanager
def under_load(hosts: Hosts, seconds: float) -> Iterator[None]:
    """Run the block while bookings are made and filled for `seconds`. Afterwards check that nothing was lost or done twice."""
    trucks = [hosts.truck() for _ in range(BOOKINGS)]
    lonely = hosts.client(Role.CUSTOMER, uuid4())
    unfilled = lonely.create_booking(PICKUP, DROP, *UNAVAILABLE_KIND, trucks_needed=1)["id"]
    began = time.monotonic()
    with ThreadPoolExecutor(BOOKINGS) as pool:
        playing = [
            pool.submit(fill_one, hosts, truck, began + number * seconds / BOOKINGS)
            for number, truck in enumerate(trucks)
        ]
        yield
        bookings = [each.result() for each in playing]
    assert len(set(bookings)) == BOOKINGS
    eventually(lambda: lonely.booking(unfilled)["status"] == "expired", within=60)

    def at_rest() -> bool:
        assert hosts.rows(OVERDUE) == []
        for sentence, query in TRUTHS.items():
            assert hosts.rows(text(query)) == [], sentence
        return True

    eventually(at_rest, within=30)
    eventually(hosts.is_healthy, within=30, every=1)
    assignments = Counter(
        str(row.broadcast_id) for row in hosts.rows(text("SELECT broadcast_id FROM assignments"))
    )
    assert {booking: assignments[booking] for booking in bookings} == dict.fromkeys(bookings, 1)
    assert hosts.rows(text("SELECT name, last_error FROM mailbox WHERE parked_at IS NOT NULL")) == []


def works_alone(hosts: Hosts, host: str) -> None:
    """Check that this host's worker executes commands while beat and the other host's worker are suspended."""
    others = [name for name in hosts.processes if name == "beat" or name.startswith("worker of ")]
    others.remove(f"worker of {host}")
    pids = [hosts.processes[name].pid for name in others]
    with ExitStack() as stack:
        for pid in pids:
            _signal_all(pid, "STOP")
            stack.callback(_signal_all, pid, "CONT")
        # The broker may give a message to the suspended worker. So commands are sent until one has an outcome.
        transporter = hosts.client(Role.TRANSPORTER, uuid4())
        assert persist(lambda: transporter.set_availability(True))["isAvailable"]


def _signal_all(pid: int, name: str) -> None:
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        each.suspend() if name == "STOP" else each.resume()


def test_nothing_is_lost_or_twice_if_a_host_is_cut_off_for_20_seconds(hosts: Hosts) -> None:
    with under_load(hosts, CUT_SECONDS + 2):
        time.sleep(2)
        hosts.network.cut("a")
        try:
            time.sleep(CUT_SECONDS)
        finally:
            hosts.network.mend("a")
    works_alone(hosts, "a")


def test_nothing_is_lost_or_twice_if_a_host_gets_no_answers_from_the_database(hosts: Hosts) -> None:
    """The host's statements reach PostgreSQL, which may therefore execute a COMMIT whose answer is lost."""
    port = make_url(hosts.urls["DATABASE_URL"]).port
    assert port is not None
    with under_load(hosts, CUT_SECONDS + 2):
        time.sleep(2)
        hosts.network.drop_answers("a", port)
        try:
            time.sleep(CUT_SECONDS)
        finally:
            hosts.network.pass_answers("a", port)
    works_alone(hosts, "a")
