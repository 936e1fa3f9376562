"""Requests, refusals and responses with status 503 are counted. The number of label values is bounded."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from tests.support.tokens import token
from weelo_api import create_app
from weelo_api.commands import gateway
from weelo_api.http import request_metrics
from weelo_api.views import broadcasts
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.metrics.counters import IN_THIS_PROCESS
from weelo_workers.models.environment_policy import environment_policy
from weelo_workers.queries.policies import InForce

Count = Callable[..., float]


@pytest.fixture
def client(migrated: None) -> FlaskClient:
    return create_app().test_client()


@pytest.fixture
def grown() -> Callable[..., float]:
    """Return a function that returns how much a metric with these labels has grown since the test began."""
    before = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in IN_THIS_PROCESS.collect()
        for sample in family.samples
    }

    def growth(name: str, **labels: str) -> float:
        now = IN_THIS_PROCESS.get_sample_value(name, labels) or 0.0
        return now - before.get((name, tuple(sorted(labels.items()))), 0.0)

    return growth


def as_customer() -> dict[str, str]:
    return {"Authorization": f"Bearer {token(Role.CUSTOMER, uuid4())}"}


def test_a_request_is_counted_by_the_pattern_of_its_route(client: FlaskClient, grown: Count) -> None:
    for _ in range(2):
        assert client.get(f"/api/v1/bookings/{uuid4()}", headers=as_customer()).status_code == 404
    patterns = {
        sample.labels["route"]
        for family in IN_THIS_PROCESS.collect()
        for sample in family.samples
        if sample.name == "weelo_http_requests_total"
        and re.fullmatch(r"/api/v1/bookings/{\w+}", sample.labels["route"])
    }
    assert len(patterns) == 1
    [route] = patterns
    assert grown("weelo_http_requests_total", route=route, method="GET", status="404") == 2
    assert grown("weelo_http_request_seconds_count", route=route, method="GET") == 2
    assert grown("weelo_refusals_total", code="BOOKING_NOT_FOUND") == 2


def test_all_unknown_paths_and_methods_share_a_label(client: FlaskClient, grown: Count) -> None:
    for _ in range(5):
        client.get(f"/{uuid4()}")
        client.open(f"/api/v1/{uuid4()}", method=f"X{uuid4().hex}")
    assert grown("weelo_http_requests_total", route="unknown", method="GET", status="404") == 5
    assert grown("weelo_http_requests_total", route="unknown", method="other", status="404") == 5


def test_a_503_is_counted_by_its_cause(
    client: FlaskClient, grown: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create() -> int:
        body = {
            "pickup": {"latitude": 28.6, "longitude": 77.2, "address": "a"},
            "drop": {"latitude": 28.7, "longitude": 77.3, "address": "b"},
            "vehicleType": "open",
            "vehicleSubtype": "17 Feet",
            "trucksNeeded": 1,
        }
        return client.post("/api/v1/bookings", json=body, headers=as_customer()).status_code

    shed = Rejected(Code.SERVICE_UNAVAILABLE, "too much is waiting", {"retryAfter": 1})
    with monkeypatch.context() as patch:
        patch.setattr(gateway._shedder, "refusal", lambda _: shed)
        assert create() == 503
    assert grown("weelo_unavailable_total", cause="shed") == 1

    def away(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("could not connect"))

    with monkeypatch.context() as patch:
        patch.setattr("weelo_workers.messaging.mailbox.post_unless", away)
        assert create() == 503
    assert grown("weelo_unavailable_total", cause="database") == 1
    with monkeypatch.context() as patch:
        patch.setattr(broadcasts, "submit", lambda *_: (_ for _ in ()).throw(shed))
        assert create() == 503
    assert grown("weelo_unavailable_total", cause="other") == 1
    paused = InForce("default", 0, environment_policy(), paused=True, is_served=False)
    with monkeypatch.context() as patch:
        patch.setattr("weelo_workers.messaging.mailbox.post_unless", lambda *_: None)
        patch.setattr("weelo_workers.queries.policies.in_force", lambda *_: paused)
        assert create() == 503
    assert grown("weelo_unavailable_total", cause="paused") == 1
    assert grown("weelo_refusals_total", code="SERVICE_UNAVAILABLE") == 3
    assert set(request_metrics.CAUSES) == {"shed", "database", "paused", "other"}


def test_probes_that_are_not_ready_are_no_refused_requests(
    client: FlaskClient, grown: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weelo_api.views import operating

    monkeypatch.setattr(operating, "_is_migrated", lambda: False)
    assert client.get("/readyz").status_code == 503
    assert grown("weelo_http_requests_total", route="/readyz", method="GET", status="503") == 1
    assert sum(grown("weelo_unavailable_total", cause=cause) for cause in request_metrics.CAUSES) == 0
