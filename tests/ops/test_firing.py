"""Each alert fires when what it watches is broken, and resolves when it works again: real servers, real Prometheus."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from ops.generate.alerts import alerts
from ops.generate.pace import Pace
from tests.ops.watched import Watched
from tests.support.people import UNAVAILABLE_KIND, BareSocket, Truck, book
from tests.support.suspended import suspended, with_children
from tests.support.waiting import eventually
from weelo_client import WeeloError
from weelo_workers.contracts.statuses import Role

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("watched"), pytest.mark.timeout(300)]

Fault = Callable[[Watched], AbstractContextManager[None]]


# --- faults ---------------------------------------------------------------------------------------------


def suspend(program: str) -> Fault:
    return lambda watched: suspended(watched.system.pids(program))


@contextmanager
def repeatedly(act: Callable[[], object], every: float = 0.3) -> Iterator[None]:
    """Call a function every `every` seconds, in a thread. Its errors are ignored, because the fault may cause them."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(every):
            with suppress(WeeloError, httpx.HTTPError, AssertionError):
                act()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def skewed_clock(watched: Watched) -> Iterator[None]:
    watched.clock.write_text("3")
    try:
        yield
    finally:
        watched.clock.unlink()


def not_taken_up(name: str, queue: str, late: float) -> Fault:
    """Return a fault: a command that has been due for `late` seconds and that no process executes."""

    @contextmanager
    def fault(watched: Watched) -> Iterator[None]:
        with inserted(watched, name, queue, late=late, wake_in="1 day"):
            yield

    return fault


@contextmanager
def poison(watched: Watched) -> Iterator[None]:
    """Insert a command whose payload is invalid and which has already failed four times, so the next failure parks it."""
    with inserted(watched, "trips.advance", "trips", attempts=4):
        yield


@contextmanager
def inserted(
    watched: Watched, name: str, queue: str, *, late: float = 0, wake_in: str = "0 s", attempts: int = 0
) -> Iterator[None]:
    row = {"id": uuid4(), "name": name, "queue": queue, "late": late, "wake": wake_in, "attempts": attempts}
    statement = text(
        "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at, attempts) VALUES (:id, :name, :queue, '{}',"
        " clock_timestamp() - make_interval(secs => :late), clock_timestamp() + CAST(:wake AS interval), :attempts)"
    )
    with watched.engine.begin() as connection:
        connection.execute(statement, row)
    try:
        yield
    finally:
        with watched.engine.begin() as connection:
            connection.execute(text("DELETE FROM mailbox WHERE id = :id"), {"id": row["id"]})


@contextmanager
def late_timers(watched: Watched) -> Iterator[None]:
    """Insert timers that are three seconds late, as if all processes had been suspended."""

    def insert() -> None:
        with watched.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at)"
                    " SELECT gen_random_uuid(), 'broadcasts.expire', 'timers',"
                    " jsonb_build_object('broadcast_id', gen_random_uuid()),"
                    " clock_timestamp() - interval '3 s', clock_timestamp() FROM generate_series(1, 3)"
                )
            )

    with repeatedly(insert, every=1):
        yield


@contextmanager
def requests_that_find_nobody(watched: Watched) -> Iterator[None]:
    """Create requests for a kind of truck that no fleet has. FCM and the customers' webhooks answer 503."""
    watched.receiver.status = 503

    def search_and_cancel() -> None:
        customer = watched.system.client(Role.CUSTOMER, uuid4())
        device = uuid4().hex
        watched.fcm.answers[device] = "unavailable"
        customer.register_device(device, "android")
        customer.create_webhook(watched.receiver.url, ["*"])
        customer.cancel_booking(book(customer, kind=UNAVAILABLE_KIND)["id"])

    try:
        with repeatedly(search_and_cancel):
            yield
    finally:
        watched.fcm.answers.clear()
        watched.receiver.status = 200


@contextmanager
def requests_that_are_filled(watched: Watched) -> Iterator[None]:
    truck = Truck(watched.system)

    def fill() -> None:
        customer = watched.system.client(Role.CUSTOMER, uuid4())
        booking = book(customer)["id"]
        eventually(truck.client.offers)
        truck.accept(booking)
        customer.cancel_booking(booking)

    with repeatedly(fill):
        yield


@contextmanager
def killed_children(watched: Watched) -> Iterator[None]:
    def kill() -> None:
        for pid in watched.system.pids("fleet")[1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    with repeatedly(kill, every=2):
        yield


@contextmanager
def slow_accepts(watched: Watched) -> Iterator[None]:
    """Send accepts, and suspend the worker for 1.5 s each time. A socket of the fleet receives the outcomes."""
    fleet = Truck(watched.system)
    booking = book(watched.system.client(Role.CUSTOMER, uuid4()))["id"]
    socket = BareSocket(watched.system, Role.TRANSPORTER, fleet.id)

    def accept_slowly() -> None:
        with suspended(watched.system.pids("offers")):
            with suppress(WeeloError):
                fleet.client.accept(booking, fleet.vehicle, str(fleet.driver), wait=0)
            time.sleep(1.5)

    with repeatedly(accept_slowly, every=0.5):
        yield
    socket.close()


@contextmanager
def frozen_servers(watched: Watched) -> Iterator[None]:
    customer = watched.system.client(Role.CUSTOMER, uuid4())
    frozen = [*with_children(watched.postgres.pid()), *with_children(watched.valkey.pid())]
    with suspended(frozen), ExitStack() as callers:
        for _ in range(4):
            callers.enter_context(repeatedly(lambda: book(customer)))
        yield


# --- what fires -----------------------------------------------------------------------------------------

ROUNDS: Mapping[str, Mapping[Fault, Sequence[str]]] = {
    "rows and outside parties": {
        not_taken_up("trips.advance", "trips", 70): ["WeeloQueueOld"],
        not_taken_up("trips.expire_assignment", "timers", 40): ["WeeloTimersNotFiring"],
        poison: ["WeeloCommandsParked"],
        late_timers: ["WeeloTimerLatenessBurn"],
        slow_accepts: ["WeeloAcceptToFrameBurn"],
        skewed_clock: ["WeeloClockSkew"],
        killed_children: ["WeeloProcessesRestarting"],
        requests_that_find_nobody: ["WeeloFcmAway", "WeeloWebhookDeliveriesFailing", "WeeloFillRateFallen"],
    },
    "suspended programs": {
        suspend("beat"): ["WeeloSweepDead", "WeeloCheckFailing"],
        suspend("offers"): ["WeeloConsumerDead"],
    },
    "frozen servers": {frozen_servers: ["WeeloDatabaseDown", "WeeloRedisDown", "WeeloApiUnavailable"]},
    "suspended API": {suspend("gunicorn"): ["WeeloApiDown"]},
}


def test_every_alert_has_a_fault() -> None:
    expected = [name for faults in ROUNDS.values() for names in faults.values() for name in names]
    assert sorted(expected) == sorted({alert.name for alert in alerts(Pace())})


@pytest.mark.parametrize("name", ROUNDS)
def test_the_alerts_of_a_fault_fire_and_resolve(watched: Watched, name: str) -> None:
    faults = ROUNDS[name]
    expected = {alert for names in faults.values() for alert in names}
    eventually(lambda: _none_of(expected, watched), within=60)
    fired = {}
    with ExitStack() as broken:
        for fault in faults:
            broken.enter_context(fault(watched))

        def all_have_fired() -> bool:
            fired.update(watched.prometheus.firing())
            missing = expected - set(fired)
            assert not missing, f"not fired: {missing}"
            return True

        eventually(all_have_fired, within=60, every=0.5)
    for alert in expected:
        texts = fired[alert]["annotations"]
        assert not re.search(r"<error|<no value>|{{", texts["summary"]), texts
        assert texts["runbook_url"].endswith(f"#{alert.lower()}")
    with requests_that_are_filled(watched) if "WeeloFillRateFallen" in expected else ExitStack():
        eventually(lambda: _none_of(expected, watched), within=90, every=0.5)


def _none_of(names: set[str], watched: Watched) -> bool:
    still = {name: each["labels"] for name, each in watched.prometheus.firing().items() if name in names}
    assert not still, f"still firing: {still}"
    return True
