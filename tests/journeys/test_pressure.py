"""Load shedding and rate limits: refusals come early and have a Retry-After."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from tests.support.api_process import Api
from tests.support.people import BOOKING
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_api.commands.load_shedding import POLL_SECONDS
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect

pytestmark = pytest.mark.xdist_group("system")


NAMES = {
    "broadcasts": "broadcasts.create_booking",
    "offers": "offers.accept",
    "timers": "broadcasts.widen",
}


def database(system: System) -> Engine:
    return connect(make_url(system.environment["DATABASE_URL"]).render_as_string(False))


@contextmanager
def waiting(system: System, queue: str, count: int, seconds: int, name: str = "") -> Iterator[None]:
    """Insert `count` commands that have been due for `seconds` and that no worker executes; delete them afterwards."""
    engine = database(system)
    numbers = {"count": count, "queue": queue, "seconds": seconds, "name": name or NAMES[queue]}
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO mailbox (id, name, queue, payload, received_at, due_at, wake_at)"
                " SELECT gen_random_uuid(), :name, :queue, '{}', now(), now() - make_interval(secs => :seconds),"
                " now() + interval '1 hour' FROM generate_series(1, :count)"
            ),
            numbers,
        )
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM mailbox WHERE wake_at > now() + interval '30 minutes'"))
        engine.dispose()
        time.sleep(POLL_SECONDS)  # after this time every API process has read the backlog again


@pytest.fixture(autouse=True)
def _calm(system: System) -> None:
    """Wait until no command of an earlier test is due."""
    engine = database(system)
    waits = "SELECT 1 FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL AND due_at <= clock_timestamp() LIMIT 1"
    with engine.connect() as connection:
        eventually(lambda: connection.execute(text(waits)).first() is None, within=30)
    engine.dispose()


def asked(system: System, **headers: str) -> httpx.Response:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        return customer.post("/bookings", json=BOOKING, headers={"Prefer": "", **headers})


def test_new_requests_are_refused_while_old_ones_wait_too_long(system: System) -> None:
    with waiting(system, "broadcasts", count=110, seconds=5):
        refused = eventually(lambda: (answer := asked(system)).status_code == 503 and answer, within=5)
        assert refused.json()["code"] == "SERVICE_UNAVAILABLE"
        assert refused.json()["retryable"]
        assert 5 <= int(refused.headers["Retry-After"]) <= 30
    eventually(lambda: asked(system).status_code == 202, within=5)


def test_commands_about_accepted_requests_are_admitted_for_longer(system: System) -> None:
    with (
        waiting(system, "broadcasts", count=110, seconds=5),
        system.http(Role.TRANSPORTER, uuid4()) as transporter,
    ):
        eventually(lambda: asked(system).status_code == 503, within=5)
        path = f"/broadcasts/{uuid4()}/decline"
        assert transporter.post(path, headers={"Prefer": ""}).status_code == 202
        with waiting(system, "offers", count=110, seconds=15):
            eventually(lambda: transporter.post(path, headers={"Prefer": ""}).status_code == 503, within=5)


def test_IDEM_02_a_repeated_accepted_command_is_answered_under_load_shedding(system: System) -> None:
    with system.http(Role.CUSTOMER, uuid4()) as customer:
        mine = {"Idempotency-Key": str(uuid4()), "Prefer": ""}
        first = customer.post("/bookings", json=BOOKING, headers=mine)
        assert first.status_code == 202
        with waiting(system, "broadcasts", count=110, seconds=5):
            eventually(lambda: asked(system).status_code == 503, within=5)
            again = customer.post("/bookings", json=BOOKING, headers=mine)
            assert again.status_code == 202
            assert again.json()["commandId"] == first.json()["commandId"]

            def another() -> int:
                key = {"Idempotency-Key": str(uuid4()), "Prefer": ""}
                return customer.post("/bookings", json=BOOKING, headers=key).status_code

            eventually(lambda: another() == 503, within=5)


@pytest.mark.parametrize(
    ("count", "name"),
    [(25, "broadcasts.create_booking"), (110, "notifications.push"), (110, "broadcasts.of_a_newer_version")],
    ids=["a few", "pushes that wait for FCM", "commands of a newer version"],
)
def test_such_a_backlog_refuses_no_request(system: System, count: int, name: str) -> None:
    with waiting(system, name.partition(".")[0], count=count, seconds=60, name=name):
        # Together the requests take more than half a second, so that every API process reads the backlog meanwhile.
        for _ in range(8):
            assert asked(system).status_code == 202


@pytest.fixture
def strict_api(system: System) -> Iterator[str]:
    """Yield the address of a further API process of this system, whose rate limit per caller is a tenth of the usual one."""
    api = Api(1, log=None, **{**system.environment, "COMMANDS_PER_SECOND": "5"})
    yield f"http://127.0.0.1:{api.port}/api/v1"
    api.stop()


def test_one_caller_who_floods_is_told_to_slow_down_and_the_others_are_not(
    system: System, strict_api: str
) -> None:
    with system.http(Role.TRANSPORTER, uuid4()) as flooding, system.http(Role.CUSTOMER, uuid4()) as other:
        path = f"{strict_api}/broadcasts/{uuid4()}/decline"
        served = 0
        while (answer := flooding.post(path, headers={"Prefer": ""})).status_code == 202:
            served += 1
        assert served >= 50, "the burst allowance is ten seconds of the rate"
        assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
        assert int(answer.headers["Retry-After"]) >= 1
        answer = other.post(f"{strict_api}/bookings", json=BOOKING, headers={"Prefer": ""})
        assert answer.status_code == 202
