"""What the API does with a request before a handler sees it, tested in this process on the real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import weelo_api.websocket.hub
from tests.support.log_writer import LogWriter
from tests.support.people import BOOKING
from tests.support.servers import REPLICAS, own_database, worker_number
from tests.support.tokens import token
from tests.support.world import World
from weelo_api import create_app
from weelo_api.commands import internal
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.models.engine import connect, read_engine
from weelo_workers.models.migrate import upgrade_to_head
from weelo_workers.notifications import live_stream
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

HERE = {"latitude": 28.6, "longitude": 77.2}


class Caller:
    """A client with a token."""

    def __init__(self, app: FlaskClient, role: Role, who: UUID | None = None) -> None:
        self.id = who or uuid4()
        self._app, self._headers = app, {"Authorization": f"Bearer {token(role, self.id)}"}

    def asks(self, request: str, body: Any = None, **options: Any) -> TestResponse:
        method, _, path = request.partition(" ")
        options |= {} if body is None else {"json": body}
        return self._app.open(f"/api/v1{path}", method=method, headers=self._headers, **options)


@pytest.fixture(scope="module")
def app(migrated: None) -> FlaskClient:
    return create_app().test_client()


@pytest.fixture
def log_writer(migrated: None) -> LogWriter:
    return LogWriter()


def fields(refused: TestResponse) -> set[str]:
    """Assert that the response is a 400, and return the fields that its errors name."""
    assert refused.status_code == 400, refused.text
    assert refused.content_type == "application/problem+json"
    assert refused.json["code"] == "VALIDATION_ERROR"
    return {error["field"] for error in refused.json["errors"]}


# --- bodies ---------------------------------------------------------------------------------------------


def test_a_fields_name_in_python_is_refused(app: FlaskClient) -> None:
    needed = {
        "trucks_needed": 1,
        **{name: value for name, value in BOOKING.items() if name != "trucksNeeded"},
    }
    assert "trucks_needed" in fields(Caller(app, Role.CUSTOMER).asks("POST /bookings", needed))
    row = {"vehicle_type": "open", "vehicleSubtype": "17 Feet", "quantity": 1}
    order = {"pickup": BOOKING["pickup"], "drop": BOOKING["drop"], "vehicleRequirements": [row]}
    refused = Caller(app, Role.CUSTOMER).asks("POST /orders", order)
    assert "vehicleRequirements.0.vehicle_type" in fields(refused)
    truck = {"vehicle_id": str(uuid4()), "driver_id": str(uuid4())}
    refused = Caller(app, Role.TRANSPORTER).asks(f"POST /broadcasts/{uuid4()}/accept", truck)
    assert fields(refused) == {"vehicle_id", "driver_id"}


WITHOUT_A_BODY = {
    f"POST /assignments/{uuid4()}/accept": Role.DRIVER,
    f"POST /holds/{uuid4()}/release": Role.TRANSPORTER,
    f"POST /orders/{uuid4()}/continue-partial": Role.CUSTOMER,
    f"POST /bookings/{uuid4()}/continue-partial": Role.CUSTOMER,
    "DELETE /devices/a-token-of-fcm": Role.DRIVER,
    "DELETE /webhooks/00000000-0000-0000-0000-000000000001": Role.ADMIN,
    f"POST /webhooks/{uuid4()}/rotate-secret": Role.TRANSPORTER,
    f"POST /webhooks/{uuid4()}/test": Role.CUSTOMER,
}


@pytest.mark.parametrize("request_", WITHOUT_A_BODY, ids=lambda request: request.split("/")[-1])
def test_a_route_without_a_body_refuses_fields(app: FlaskClient, request_: str) -> None:
    who = Caller(app, WITHOUT_A_BODY[request_])
    assert who.asks(request_).status_code == 202
    assert who.asks(request_, {}).status_code == 202
    assert fields(who.asks(request_, {"driverId": str(uuid4()), "force": True})) == {"driverId", "force"}
    for broken in (b"{", b"[]", b"null"):
        fields(who.asks(request_, data=broken))
    assert who.asks(request_, data=b"\xff").status_code == 415


def test_an_answer_about_the_method_names_those_that_there_are(app: FlaskClient) -> None:
    refused = Caller(app, Role.CUSTOMER).asks("DELETE /bookings")
    assert (refused.status_code, refused.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert set(refused.allow) == {"POST", "OPTIONS"}
    assert refused.content_type == "application/problem+json"


# --- times ----------------------------------------------------------------------------------------------


@pytest.fixture
def trip(world: World) -> Any:
    return world.assignments(world.on_the_way())[0]


def seen(driver: Caller, trip: Any, recorded_at: str) -> str:
    """Report a position that was recorded at this time. Return the time as the customer receives it."""
    answer = driver.asks(f"POST /trips/{trip.trip_id}/location", {**HERE, "recordedAt": recorded_at})
    assert answer.status_code == 204, answer.text
    newest: Any = redis().xrevrange(live_stream.EPHEMERAL, count=1)
    [(_, entry)] = newest
    [mention] = live_stream.decode(entry)
    return str(mention["data"]["recordedAt"])


def test_the_customer_hears_in_utc_when_a_position_was_recorded(app: FlaskClient, trip: Any) -> None:
    driver = Caller(app, Role.DRIVER, trip.driver_id)
    assert seen(driver, trip, "2026-02-19T15:30:00.25+05:30") == "2026-02-19T10:00:00.250Z"
    assert seen(driver, trip, "2026-02-19T10:00:00Z") == "2026-02-19T10:00:00.000Z"


def test_a_phone_whose_clock_was_reset_or_runs_ahead_is_seen(app: FlaskClient, trip: Any) -> None:
    driver = Caller(app, Role.DRIVER, trip.driver_id)
    assert seen(driver, trip, "1970-01-01T05:30:00+05:30") == "1970-01-01T00:00:00.000Z"
    assert seen(driver, trip, "2038-01-19T03:14:07Z") == "2038-01-19T03:14:07.000Z"


@pytest.mark.parametrize(
    "recorded_at",
    [
        "0001-01-01T00:00:00+05:30",
        "9999-12-31T23:59:59-05:30",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "2026-02-19T10:00:00",
        "yesterday",
    ],
)
def test_a_time_that_no_clock_shows_is_400(app: FlaskClient, recorded_at: str) -> None:
    driver = Caller(app, Role.DRIVER)
    refused = driver.asks(f"POST /trips/{uuid4()}/location", {**HERE, "recordedAt": recorded_at})
    assert fields(refused) == {"recordedAt"}


# --- a trip's position ----------------------------------------------------------------------------------


def mentions() -> int:
    """Return how many positions of trucks have been published."""
    return int(redis().xlen(live_stream.EPHEMERAL))


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_no_position_is_forwarded_once_the_trip_is_over(
    app: FlaskClient, world: World, trip: Any, end: str
) -> None:
    driver = Caller(app, Role.DRIVER, trip.driver_id)
    for _ in range(2):
        assert driver.asks(f"POST /trips/{trip.trip_id}/location", HERE).status_code == 204
    passed_on = mentions()
    if end == "completed":
        assert world.report(trip, "completed").error is None
    else:
        assert world.cancel(trip.broadcast_id).error is None
    refused = driver.asks(f"POST /trips/{trip.trip_id}/location", HERE)
    assert (refused.status_code, refused.json["code"]) == (409, "INVALID_TRANSITION")
    assert mentions() == passed_on


def test_positions_are_accepted_after_redis_was_emptied(app: FlaskClient, trip: Any) -> None:
    driver = Caller(app, Role.DRIVER, trip.driver_id)
    assert driver.asks(f"POST /trips/{trip.trip_id}/location", HERE).status_code == 204
    redis().flushdb()
    assert driver.asks(f"POST /trips/{trip.trip_id}/location", HERE).status_code == 204


# --- one's own log --------------------------------------------------------------------------------------


def test_the_log_is_paged_like_every_other_list(app: FlaskClient, log_writer: LogWriter) -> None:
    reader = Caller(app, Role.CUSTOMER)
    log_writer.write(reader.id, 5)
    pages: list[list[int]] = []
    cursor: str | None = "0"
    for _ in range(3):
        page = reader.asks("GET /events", query_string={"limit": 2, "after": 0, "cursor": cursor}).json
        pages.append([line["seq"] for line in page["items"]])
        cursor = page["nextCursor"]
    assert (pages, cursor) == ([[1, 2], [3, 4], [5]], None)
    assert "cursor" in fields(reader.asks("GET /events?cursor=x"))


def test_a_later_page_of_the_log_says_too_where_it_begins(app: FlaskClient, log_writer: LogWriter) -> None:
    reader = Caller(app, Role.CUSTOMER)
    log_writer.write(reader.id, 5)
    log_writer.purge(reader.id, up_to=3)
    assert reader.asks("GET /events?cursor=2").json["oldestSeq"] == 4
    assert "oldestSeq" not in reader.asks("GET /events?cursor=3").json


# --- a replica that lags --------------------------------------------------------------------------------


@pytest.fixture
def lagging_replica(monkeypatch: pytest.MonkeyPatch, worker_id: str) -> Iterator[None]:
    """Let reads go to a database that has no rows yet."""
    number = REPLICAS + worker_number(worker_id)
    replica = connect(own_database(number))
    upgrade_to_head(replica)
    monkeypatch.setenv("DATABASE_READ_URL", replica.url.render_as_string(hide_password=False))
    settings.cache_clear()
    read_engine.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()
    read_engine().dispose()
    read_engine.cache_clear()
    replica.dispose()


def test_rows_that_a_lagging_replica_does_not_have_yet_are_found(
    app: FlaskClient, world: World, trip: Any, lagging_replica: None
) -> None:
    fleet = world.fleet()
    [slot] = world.rows("SELECT id FROM truck_requests WHERE broadcast_id = :id", id=world.broadcast())
    transporter = Caller(app, Role.TRANSPORTER, fleet.id)
    assert transporter.asks("GET /offers").json["items"] == [], "the replica has the row already"
    truck = {"vehicleId": str(fleet.trucks[0].vehicle_id), "driverId": str(fleet.trucks[0].driver_id)}
    assert transporter.asks(f"POST /truck-requests/{slot.id}/accept", truck).status_code == 202
    driver = Caller(app, Role.DRIVER, trip.driver_id)
    assert driver.asks(f"POST /trips/{trip.trip_id}/location", HERE).status_code == 204


# --- opening a socket -----------------------------------------------------------------------------------


def test_an_empty_header_does_not_authenticate(app: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request with an empty header counts as unauthenticated: above the limit of unauthenticated sockets it gets a 503."""
    monkeypatch.setattr(weelo_api.websocket.hub, "MAX_UNAUTHENTICATED", 0)
    for without_token in ({}, {"Authorization": ""}):
        assert app.get("/api/v1/ws", headers=without_token).status_code == 503
    known = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}
    assert app.get("/api/v1/ws", headers=known).status_code == 400, "admitted, although this is no handshake"


@pytest.mark.parametrize("prefer", [{}, {"Prefer": "wait=1"}])
@pytest.mark.parametrize("parameter", ["socket_timeout=3", "db=5", "protocol=3"])
def test_a_recorded_command_is_accepted_whatever_fails_while_workers_are_woken(
    world: World, app: FlaskClient, monkeypatch: pytest.MonkeyPatch, parameter: str, prefer: dict[str, str]
) -> None:
    """kombu raises TypeError for these parameters of a broker URL.

    The settings remove them from URLs, so the test sets them in Celery.
    """
    broken = CeleryWaker()
    broken._celery.conf.broker_url = f"{settings().redis_url}?{parameter}"
    monkeypatch.setattr(internal, "waker", lambda: broken)
    bearer = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}
    answer = app.post("/api/v1/bookings", json=BOOKING, headers={**bearer, **prefer})
    assert answer.status_code == 202, answer.text
    assert world.value("SELECT count(*) FROM mailbox WHERE id = :id", id=answer.json["commandId"]) == 1
    assert broken.recently_failed, "the broker was reached, so nothing has failed"


def test_a_key_in_double_quotes_is_the_same_key(app: FlaskClient) -> None:
    bearer = {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}
    plain, quoted = (
        app.post("/api/v1/bookings", json=BOOKING, headers={**bearer, "Idempotency-Key": key})
        for key in ("abc-12345", '"abc-12345"')
    )
    assert (plain.status_code, quoted.status_code) == (202, 202), quoted.text
    assert quoted.json["commandId"] == plain.json["commandId"]
    assert quoted.json["replayed"]
    for half in ('"abc-12345', 'abc-12345"', '"short"', "'abc-12345'"):
        refused = app.post("/api/v1/bookings", json=BOOKING, headers={**bearer, "Idempotency-Key": half})
        assert fields(refused) == {"Idempotency-Key"}


def test_metrics_of_queues_come_from_the_primary(
    app: FlaskClient, world: World, lagging_replica: None
) -> None:
    """A replica whose replay is paused would report an old backlog instead of the present one."""
    world.broadcast()
    lines = app.get("/metrics").text.splitlines()
    [pending] = [line for line in lines if line.startswith('weelo_timers_pending{queue="timers"}')]
    assert float(pending.rpartition(" ")[2]) >= 1
