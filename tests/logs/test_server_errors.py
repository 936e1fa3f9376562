"""A request that ends in a server error is one log line, which says which request it was and shows nothing private."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.people import BOOKING
from tests.support.tokens import token
from weelo_api import create_app
from weelo_api.commands import gateway
from weelo_api.http import request_metrics, server_errors
from weelo_api.http.access import anyone
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.logs import context
from weelo_workers.messaging import mailbox
from weelo_workers.models.engine import connect

PRIVATE = "a-token-in-the-path"


@pytest.fixture
def app(migrated: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    # `label_records` replaces logging's record factory. This `setattr` changes nothing, but lets monkeypatch restore
    # the present factory after the test.
    monkeypatch.setattr(logging, "_logRecordFactory", logging.getLogRecordFactory())
    context.label_records()
    app = create_app()

    def fail(token: str) -> str:
        raise LookupError("on purpose")

    app.add_url_rule("/api/v1/broken/<token>", "broken", anyone(fail))
    # This test uses a new filter, because lines of earlier tests count towards the old filter's limit.
    former, server_errors.log.filters = server_errors.log.filters[:], [RateLimitFilter()]
    yield app
    server_errors.log.filters = former


@pytest.fixture
def customer(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token(Role.CUSTOMER, uuid4())}"
    client.environ_base["HTTP_X_REQUEST_ID"] = "the-unlucky-one"
    return client


def errors_of(caplog: pytest.LogCaptureFixture) -> list[tuple[logging.LogRecord, dict[str, Any]]]:
    records = [record for record in caplog.records if record.name == server_errors.__name__]
    return [(record, context.fields_of(record)) for record in records]


def count(cause: str) -> float:
    return float(request_metrics.UNAVAILABLE.labels(cause)._value.get())


def test_a_500_is_one_record_with_its_route_and_its_traceback(
    customer: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert customer.get(f"/api/v1/broken/{PRIVATE}").status_code == 500
    [(record, fields)] = errors_of(caplog)
    assert fields == {
        "route": "/api/v1/broken/<token>",
        "method": "GET",
        "status": 500,
        "role": "customer",
        "request_id": "the-unlucky-one",
    }
    assert record.levelname == "ERROR" and record.exc_info and record.exc_info[0] is LookupError
    assert PRIVATE not in caplog.text


def test_a_500_of_a_command_names_the_command(
    customer: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("on purpose")

    monkeypatch.setattr(mailbox, "post_unless", fail)
    assert customer.post("/api/v1/bookings", json=BOOKING).status_code == 500
    [(_, fields)] = errors_of(caplog)
    assert (fields["command"], fields["role"]) == ("broadcasts.create_booking", "customer")
    assert isinstance(fields["command_id"], UUID)
    assert context.fields_of(logging.makeLogRecord({})) == {}


def test_refusals_under_load_are_counted_and_logged_with_the_number_left_out(
    customer: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = count("shed")
    full = Rejected(Code.SERVICE_UNAVAILABLE, "Too much is waiting.", {"retryAfter": 1})
    monkeypatch.setattr(gateway._shedder, "refusal", lambda _command: full)
    server_errors.log.filters = [RateLimitFilter(seconds=0.5)]
    answers = [customer.post("/api/v1/bookings", json=BOOKING).status_code for _ in range(5)]
    assert answers == [503] * 5
    assert len(errors_of(caplog)) == 1, "further lines of the same text wait"
    server_errors.log.filters[0]._last.clear()
    customer.post("/api/v1/bookings", json=BOOKING)
    [(first, fields), (last, _)] = errors_of(caplog)
    assert first.getMessage() == "a request is refused: Too much is waiting."
    assert last.getMessage() == "a request is refused: Too much is waiting. (and 4 more before)"
    assert (fields["route"], fields["command"]) == ("/api/v1/bookings", "broadcasts.create_booking")
    assert count("shed") == before + 6


def test_requests_without_a_database_are_counted_and_logged(
    customer: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = count("database")
    nowhere = connect("postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr(gateway, "autocommit_engine", lambda: nowhere)
    assert customer.post("/api/v1/bookings", json=BOOKING).status_code == 503
    nowhere.dispose()
    [(record, fields)] = errors_of(caplog)
    assert "the database is not available" in record.getMessage()
    assert (fields["status"], fields["method"], fields["request_id"]) == (503, "POST", "the-unlucky-one")
    assert count("database") == before + 1
