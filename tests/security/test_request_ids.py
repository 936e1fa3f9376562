"""`X-Request-Id`: every response has one, and it is stored with the command and shown in log lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.api_process import Api
from tests.support.people import BOOKING
from tests.support.raw_http import exchange
from tests.support.tokens import token
from tests.support.world import World
from weelo_workers import request_ids
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.statuses import Role
from weelo_workers.logs.context import fields_of, label_records
from weelo_workers.messaging import handlers
from weelo_workers.messaging.unit_of_work import UnitOfWork


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("request ids") / "api.log"


@pytest.fixture(scope="module")
def api(migrated: None, log: Path) -> Iterator[Api]:
    api = Api(log=log)
    yield api
    api.stop()


@pytest.fixture
def customer(api: Api) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token('customer', uuid4())}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{api.port}", headers=headers) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/broadcasts", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/api/v1/broadcasts/current", 404),
        ("/api/v1/broadcasts/x", 400),
        ("/api/v1/offers", 403),
        ("/api/v1//offers", 404),
        ("/api/v1/bookings", 405),
        ("/api/v1/ws", 400),
        ("/nothing", 404),
    ],
)
def test_the_id_of_a_request_is_returned_with_its_answer(
    customer: httpx.Client, path: str, status: int
) -> None:
    answer = customer.get(path, headers={"X-Request-Id": "a-request/7:x=1"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (status, "a-request/7:x=1")


@pytest.mark.parametrize(
    "sent", ["", "x" * 129, "two words", "a\tb", "é", 'quoted"', "a;b", "<b>", "a,b", "$(id)", "a'b", "{x}"]
)
def test_an_id_that_cannot_be_used_is_replaced(customer: httpx.Client, sent: str) -> None:
    answer = customer.get("/healthz", headers=[(b"X-Request-Id", sent.encode())])
    assert str(UUID(answer.headers["X-Request-Id"])) == answer.headers["X-Request-Id"]


def test_an_id_may_have_128_characters_and_none_is_needed(customer: httpx.Client) -> None:
    longest = "x" * 128
    assert customer.get("/healthz", headers={"X-Request-Id": longest}).headers["X-Request-Id"] == longest
    made = [UUID(customer.get("/healthz").headers["X-Request-Id"]) for _ in range(2)]
    assert made[0] != made[1]


def test_two_ids_are_none(customer: httpx.Client) -> None:
    answer = customer.get("/healthz", headers=[("X-Request-Id", "one"), ("X-Request-Id", "two")])
    UUID(answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("head", "own_id"),
    [
        (b"GET /healthz HTTP/1.1\r\nX-Request-Id:  mine \r\n\r\n", "mine"),
        (b"GET /healthz HTTP/3.1\r\nHost: x\r\nx-request-id: mine\r\n\r\n", "mine"),
        (b"nonsense\r\nX-Request-Id: two words\r\n\r\n", None),
        (b"nonsense\r\n\r\nX-Request-Id: of-the-body\r\n\r\n", None),
    ],
)
def test_an_answer_to_a_malformed_request_has_an_id_too(
    api: Api, log: Path, head: bytes, own_id: str | None
) -> None:
    [answer] = exchange(api.port, head)
    assert answer.status >= 400
    returned = answer.headers["x-request-id"]
    assert returned == (own_id or str(UUID(returned)))
    assert f" request_id={returned}\n" in log.read_text()


def test_a_line_of_the_api_names_the_request(tmp_path: Path) -> None:
    """The database of this API cannot be reached, so the request causes a log line."""
    without_database = tmp_path / "api.log"
    api = Api(log=without_database, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    headers = {"Authorization": f"Bearer {token('customer', uuid4())}", "X-Request-Id": "the-unlucky-one"}
    try:
        answer = httpx.get(f"http://127.0.0.1:{api.port}/api/v1/events", headers=headers, timeout=15)
    finally:
        api.stop()
    assert answer.status_code == 503
    [line] = [
        line for line in without_database.read_text().splitlines() if "database is not available" in line
    ]
    assert line.endswith(" request_id=the-unlucky-one")
    assert " route=/api/v1/events method=GET status=503 role=customer " in line


def test_the_id_is_in_the_row_of_the_command_and_a_repetition_keeps_the_first(
    customer: httpx.Client, world: World
) -> None:
    own_id = f"booking-{uuid4()}"
    headers = {"X-Request-Id": own_id, "Idempotency-Key": str(uuid4())}
    first = customer.post("/api/v1/bookings", json=BOOKING, headers=headers)
    again = customer.post("/api/v1/bookings", json=BOOKING, headers={**headers, "X-Request-Id": "again"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["X-Request-Id"] == "again"
    assert [row.request_id for row in world.rows("SELECT request_id FROM mailbox")] == [own_id]


def test_what_a_command_sends_has_the_id_of_its_request(world: World) -> None:
    before = request_ids.request_id.set("the-booking")
    try:
        world.post(world.booking(customer := uuid4()), customer, Role.CUSTOMER)
    finally:
        request_ids.request_id.reset(before)
    world.drain()
    timers = world.rows("SELECT name, request_id FROM mailbox WHERE caller_id IS NULL")
    assert {row.name for row in timers} >= {"broadcasts.expire"}
    assert {row.request_id for row in timers} == {"the-booking"}
    assert request_ids.request_id.get() is None


def test_the_lines_of_a_worker_about_a_command_name_its_request(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    factory = logging.getLogRecordFactory()
    # `label_records` replaces logging's record factory. This `setattr` changes nothing, but lets monkeypatch restore
    # the present factory after the test.
    monkeypatch.setattr(logging, "_logRecordFactory", factory)
    label_records()

    def fail(_command: Command, _uow: UnitOfWork) -> None:
        raise LookupError("on purpose")

    command = world.booking(customer := uuid4())
    monkeypatch.setitem(handlers._handlers, command.name, fail)
    before = request_ids.request_id.set("the-one-that-fails")
    posted = world.post(command, customer, Role.CUSTOMER)
    request_ids.request_id.reset(before)
    assert not world.bus.execute(posted)
    logging.getLogger("weelo_workers").warning("something else")
    [failure] = [record for record in caplog.records if "on purpose" in record.getMessage()]
    assert fields_of(failure)["request_id"] == "the-one-that-fails"
    assert fields_of(failure)["command_id"] == posted
    assert fields_of(caplog.records[-1]) == {}
