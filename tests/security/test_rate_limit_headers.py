"""`RateLimit-Policy` and `RateLimit`: what a caller may send, and what is left (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.support.api_process import Api
from tests.support.people import BOOKING
from tests.support.tokens import token

POLICY = '"commands";q=10;w=10'


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api(COMMANDS_PER_SECOND="1")
    yield api
    api.stop()


def client(api: Api, role: str = "customer") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token(role, uuid4())}"}
    return httpx.Client(base_url=f"http://127.0.0.1:{api.port}/api/v1", headers=headers)


def left(answer: httpx.Response) -> tuple[int, int]:
    """Return how many commands the caller may send now, and after how many seconds the full number is available again."""
    found = re.fullmatch(r'"commands";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    assert found, answer.headers["RateLimit"]
    return int(found[1]), int(found[2])


def test_each_command_shows_what_is_left_down_to_the_refusal(api: Api) -> None:
    with client(api) as customer, client(api) as other:
        first = customer.post("/bookings", json=BOOKING)
        assert (first.status_code, first.headers["RateLimit-Policy"]) == (202, POLICY)
        assert left(first) == (9, 1)
        while (answer := customer.post("/bookings", json=BOOKING)).status_code == 202:
            remaining, seconds = left(answer)
            assert 0 <= remaining < 9 and 10 - remaining - 1 <= seconds <= 10
        assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
        assert answer.headers["RateLimit-Policy"] == POLICY
        assert left(answer)[0] == 0
        assert 1 <= int(answer.headers["Retry-After"]) <= left(answer)[1] <= 10
        assert left(other.post("/bookings", json=BOOKING))[0] == 9


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/bookings", 400),
        ("PUT", "/transporter/availability", 403),
        ("PUT", "/bookings/no-id/cancel", 400),
    ],
)
def test_an_answer_without_a_command_shows_that_none_was_counted(
    api: Api, method: str, path: str, status: int
) -> None:
    with client(api) as customer:
        answer = customer.request(method, path, json={})
    assert answer.status_code == status
    assert answer.headers["RateLimit-Policy"].startswith(POLICY)
    assert left(answer) == (10, 0)


def test_a_stranger_is_shown_the_policy_alone(api: Api) -> None:
    answer = httpx.post(f"http://127.0.0.1:{api.port}/api/v1/bookings", json=BOOKING)
    assert (answer.status_code, answer.headers["RateLimit-Policy"]) == (401, POLICY)
    assert "RateLimit" not in answer.headers


def test_the_toggle_has_a_policy_of_its_own(api: Api) -> None:
    with client(api, "transporter") as fleet:
        answer = fleet.put("/transporter/availability", json={"isAvailable": True})
        assert answer.headers["RateLimit-Policy"] == f'{POLICY}, "availability";q=10;w=300'
        assert left(answer) == (9, 1)


@pytest.mark.parametrize("path", ["/bookings/x", "/offers", "/transporter/heartbeat", "/reasons", "/nothing"])
def test_a_route_without_a_limit_announces_none(api: Api, path: str) -> None:
    with client(api, "transporter") as fleet:
        answer = fleet.post(path, json={}) if path.endswith("heartbeat") else fleet.get(path)
    assert not [name for name in answer.headers if name.startswith("ratelimit")]
