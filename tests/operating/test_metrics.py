"""CONTRACT section 7: every metric exists, changes, and is the same whichever process answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest

from tests.operating.rows import Rows
from tests.support.figures import of, scrape, worker_urls
from tests.support.people import BareSocket, Listener, Truck, book, refusal
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.worker_heartbeats import consumers

pytestmark = pytest.mark.xdist_group("operated")


def play(system: System) -> None:
    """Change all metrics, by an accept, an accept that is too late, a broadcast that expires, frames and pushes."""
    truck, late = accept_and_too_late(system)
    late.client.register_device(uuid4().hex, "android")
    fleet, customer = Listener(truck.client), system.client(Role.CUSTOMER, uuid4())
    expiring = book(customer)["id"]
    fleet.until("booking_expired", broadcastId=expiring)
    for each in (truck, late):
        each.available(False)
    fleet.close()


def accept_and_too_late(system: System) -> tuple[Truck, Truck]:
    """Let two fleets accept a request for one truck, one after the other, and return their trucks."""
    truck, late = Truck(system), Truck(system)
    customer = system.client(Role.CUSTOMER, uuid4())
    booking = book(customer)["id"]
    eventually(lambda: all(each.client.offers() for each in (truck, late)))
    truck.accept(booking)
    assert refusal(lambda: late.accept(booking)) == (409, "BROADCAST_FILLED")
    customer.cancel_booking(booking)
    return truck, late


def test_OPER_01_every_figure_of_the_contract_is_at_the_api_and_moves(operated: System) -> None:
    url = f"{operated.url}/metrics"
    before = scrape(url)
    assert of(before, "weelo_database_up") == 1
    socket = BareSocket(operated, Role.CUSTOMER, uuid4())
    eventually(lambda: of(scrape(url), "weelo_sockets_open") >= 1)
    play(operated)
    socket.close()

    def grew(figure: str, /, **labels: str) -> bool:
        return of(scrape(url), figure, **labels) > sum(
            v for (n, given), v in before.items() if n == figure and labels.items() <= dict(given).items()
        )

    for figure, labels in (
        ("weelo_commands_total", {"name": "broadcasts.create_booking", "outcome": "succeeded"}),
        ("weelo_commands_total", {"name": "offers.accept", "outcome": "rejected"}),
        ("weelo_command_seconds_count", {"queue": "offers"}),
        ("weelo_command_seconds_sum", {"queue": "broadcasts"}),
        ("weelo_timer_late_seconds_count", {}),
        ("weelo_timers_fired_total", {"by": "countdown"}),
        ("weelo_frames_sent_total", {}),
        ("weelo_pushes_total", {"result": "unsent"}),
    ):
        assert eventually(lambda: grew(figure, **labels)), figure  # noqa: B023
    now = scrape(url)
    for queue in QUEUES:
        assert of(now, "weelo_queue_depth", queue=queue) >= 0
        assert of(now, "weelo_queue_oldest_seconds", queue=queue) >= 0
        assert of(now, "weelo_parked", queue=queue) == 0
    for name in (
        "weelo_events_unsent",
        "weelo_events_unsent_age_seconds",
        "weelo_frames_failed_total",
        "weelo_serialization_retries_total",
    ):
        assert of(now, name) >= 0
    assert of(now, "weelo_timers_fired_total", by="sweep") >= 0
    for result in ("sent", "later", "gone", "refused", "unsent"):
        assert of(now, "weelo_pushes_total", result=result) >= 0
    eventually(lambda: of(scrape(url), "weelo_sockets_open") == 0)


def test_OPER_01_waiting_commands_show_in_the_depth_and_age_of_their_queue_and_in_the_unsent_events(
    operated: System, rows: Rows
) -> None:
    waiting = uuid4()
    events = [{"id": str(uuid4())}] * 3
    rows(
        "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at, retry_at) VALUES (:id, 'notifications.deliver',"
        " 'notifications', CAST(:payload AS jsonb), clock_timestamp() - interval '70 s',"
        " clock_timestamp() + interval '1 day', clock_timestamp() + interval '1 day')",
        id=waiting,
        payload=json.dumps({"events": events}),
    )
    now = scrape(f"{operated.url}/metrics")
    assert of(now, "weelo_queue_depth", queue="notifications") >= 1
    assert of(now, "weelo_queue_oldest_seconds", queue="notifications") >= 70
    assert of(now, "weelo_events_unsent") >= 3
    assert of(now, "weelo_events_unsent_age_seconds") >= 70
    rows("DELETE FROM mailbox WHERE id = :id", id=waiting)


def test_OPER_01_each_worker_and_beat_serve_their_metrics_at_their_own_port(operated: System) -> None:
    play(operated)
    urls = worker_urls(operated)
    assert set(urls) == {*QUEUES, "beat"}
    assert of(scrape(urls["offers"]), "weelo_commands_total", name="offers.accept") > 0
    assert of(scrape(urls["timers"]), "weelo_timer_late_seconds_count") > 0
    assert of(scrape(urls["notifications"]), "weelo_pushes_total", result="unsent") > 0
    assert of(scrape(urls["beat"]), "weelo_timers_fired_total", by="sweep") >= 0
    for name, url in urls.items():
        assert url.startswith("http://127.0.0.1:"), f"{name} must listen on this machine only"


@pytest.mark.long
def test_both_api_processes_say_the_same(operated: System) -> None:
    """Each scrape opens a new connection, so that both processes answer some of the scrapes."""
    sockets = [BareSocket(operated, Role.CUSTOMER, uuid4()) for _ in range(8)]
    url = f"{operated.url}/metrics"
    eventually(lambda: of(scrape(url), "weelo_sockets_open") == 8)
    for _ in range(20):
        assert of(scrape(url), "weelo_sockets_open") == 8
    for each in sockets:
        each.close()
    accept_and_too_late(operated)
    quiet = _quiet(lambda: of(scrape(url), "weelo_frames_sent_total"))
    assert {of(scrape(url), "weelo_frames_sent_total") for _ in range(20)} == {quiet}


def _quiet(figure: Callable[[], float]) -> float:
    """Wait until the figure has not changed for a second, and return it."""
    seen, since = figure(), time.monotonic()
    while time.monotonic() - since < 1:
        if (now := figure()) != seen:
            seen, since = now, time.monotonic()
    return seen


def test_counts_of_killed_children_are_kept_and_their_files_are_deleted(operated: System) -> None:
    accept_and_too_late(operated)
    url, api = worker_urls(operated)["offers"], f"{operated.url}/metrics"
    counted = of(scrape(url), "weelo_commands_total", name="offers.accept")
    at_the_api = of(scrape(api), "weelo_commands_total", name="offers.accept")
    parent, *children = operated.pids("offers")
    for child in children:
        os.kill(child, signal.SIGKILL)
    eventually(lambda: not set(children) & set(operated.pids("offers")))
    assert of(scrape(url), "weelo_commands_total", name="offers.accept") == counted
    assert of(scrape(api), "weelo_commands_total", name="offers.accept") == at_the_api
    folder = operated.folder / "metrics" / str(parent)

    def added_up() -> bool:
        assert of(scrape(url), "weelo_commands_total", name="offers.accept") == counted
        return not {int(path.stem.rpartition("_")[2]) for path in folder.glob("*.db")} & set(children)

    eventually(added_up)
    # The counts of new processes are added to the merged counts of dead processes.
    accept_and_too_late(operated)
    eventually(lambda: of(scrape(url), "weelo_commands_total", name="offers.accept") > counted)


def test_a_killed_api_process_loses_its_sockets_and_not_its_counts(operated: System) -> None:
    url = f"{operated.url}/metrics"
    sockets = [BareSocket(operated, Role.CUSTOMER, uuid4()) for _ in range(6)]
    eventually(lambda: of(scrape(url), "weelo_sockets_open") == 6)
    sent = of(scrape(url), "weelo_frames_sent_total")
    for pid in operated.api_processes():
        os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        try:
            return of(scrape(url), "weelo_sockets_open") == 0
        except httpx.HTTPError:
            return False

    eventually(back, within=20)
    assert of(scrape(url), "weelo_frames_sent_total") >= sent
    for each in sockets:
        each.close()


def test_a_command_that_fails_and_one_that_is_parked_are_counted(operated: System, rows: Rows) -> None:
    poison = UUID(int=uuid4().int)
    rows(
        "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at, attempts) VALUES (:id, 'trips.advance',"
        " 'trips', '{}', clock_timestamp(), clock_timestamp(), 4)",
        id=poison,
    )
    url = f"{operated.url}/metrics"
    eventually(lambda: of(scrape(url), "weelo_parked", queue="trips") == 1, within=15)
    for outcome in ("failed", "parked"):
        eventually(
            lambda: of(scrape(url), "weelo_commands_total", name="trips.advance", outcome=outcome) >= 1  # noqa: B023
        )
    rows("DELETE FROM mailbox WHERE id = :id", id=poison)


@pytest.mark.long
def test_a_taken_metrics_port_stops_no_worker(migrated: None) -> None:
    """The worker logs a warning, executes commands, and serves its metrics once the port is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "METRICS_PORT": str(port)}
        arguments = ("--quiet", "worker", "--queues=fleet", "--concurrency=1")
        worker = subprocess.Popen(
            [sys.executable, "-m", "weelo_workers", *arguments, "--loglevel=WARNING"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stderr is not None
            warning = next(line for line in worker.stderr if "METRICS_PORT" in line)
            assert f"127.0.0.1:{port}" in warning
            eventually(lambda: consumers()["fleet"] >= 1, within=20)
            taken.close()
            eventually(lambda: _answers(f"http://127.0.0.1:{port}/metrics"), within=15)
        finally:
            worker.terminate()
            worker.communicate(timeout=15)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False
