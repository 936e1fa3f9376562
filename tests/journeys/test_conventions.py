"""Conventions of HTTP that need workers: quoted keys, the limit that a worker enforces, and request ids of outcomes."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from tests.support.people import BOOKING, DROP, OPEN, PICKUP
from tests.support.system import System
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")


def test_IDEM_02_a_quoted_key_is_the_key_itself_for_the_202_the_outcome_and_the_client(
    system: System,
) -> None:
    customer, key = uuid4(), f"key-{uuid4()}"
    with system.http(Role.CUSTOMER, customer) as http:
        first = http.post("/bookings", json=BOOKING, headers={"Idempotency-Key": f'"{key}"'})
        again = http.post("/bookings", json=BOOKING, headers={"Idempotency-Key": key})
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.headers["Location"] == first.headers["Location"]
        assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
        at_once = http.post("/bookings", json=BOOKING, headers={"Idempotency-Key": f'"{key}"', "Prefer": ""})
        assert (at_once.status_code, at_once.json()["replayed"]) == (202, True)
        assert at_once.json()["result"]["id"] == first.json()["id"]
    client = system.client(Role.CUSTOMER, customer)
    assert (
        client.create_booking(PICKUP, DROP, *OPEN, trucks_needed=1, key=f'"{key}"')["id"]
        == first.json()["id"]
    )
    client.cancel_booking(first.json()["id"])


def test_the_refusal_of_a_toggle_says_when_the_next_is_possible(system: System) -> None:
    with system.http(Role.TRANSPORTER, uuid4()) as fleet:
        for turn in range(10):
            answer = fleet.put("/transporter/availability", json={"isAvailable": turn % 2 == 0})
            assert answer.status_code == 200
            assert "availability" not in answer.headers["RateLimit"]
        refused = fleet.put("/transporter/availability", json={"isAvailable": True})
    assert (refused.status_code, refused.json()["code"]) == (429, "TOGGLE_RATE_LIMITED")
    assert refused.headers["RateLimit-Policy"].endswith('"availability";q=10;w=300')
    commands, toggles = refused.headers["RateLimit"].split(", ")
    # The caller's token bucket gets a token every 20 ms. While the request waited for a worker, the bucket may have
    # become full again with 500 tokens.
    assert re.fullmatch(r'"commands";r=(49\d|500);t=[01]', commands)
    assert toggles == f'"availability";r=0;t={refused.headers["Retry-After"]}'


def test_the_answer_with_an_outcome_has_the_id_of_its_own_request(system: System) -> None:
    with system.http(Role.TRANSPORTER, uuid4()) as fleet:
        path = f"/broadcasts/{uuid4()}/decline"
        answer = fleet.post(path, json={}, headers={"X-Request-Id": "the-decline"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (404, "the-decline")
