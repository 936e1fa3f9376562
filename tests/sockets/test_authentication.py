"""Sockets authenticate by a header or by their first frame, and are closed when their token expires."""

from __future__ import annotations

import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import pytest

from tests.support.api_process import Api
from tests.support.tokens import token


def test_a_token_in_the_header_is_greeted(api: Api, someone: UUID) -> None:
    client = api.connect(f"Bearer {token('transporter', someone)}")
    greeting = client.frame()
    assert greeting["event"] == "connected"
    assert "seq" not in greeting
    assert set(greeting["data"]) == {"userId", "role", "seq", "serverTime", "heartbeatSeconds"}
    assert greeting["data"]["userId"] == str(someone)
    assert greeting["data"]["role"] == "transporter"
    assert greeting["data"]["seq"] == 0


def test_a_token_in_the_first_frame_is_greeted(api: Api, someone: UUID) -> None:
    client = api.connect()
    client.send(op="auth", token=token("customer", someone))
    assert client.frame()["data"]["userId"] == str(someone)


def test_a_frame_right_after_the_token_is_answered(api: Api, someone: UUID) -> None:
    client = api.connect()
    client.send(op="auth", token=token("customer", someone))
    client.send(op="ping")
    assert [client.frame()["event"], client.frame()["event"]] == ["connected", "pong"]


def test_a_socket_that_sends_nothing_is_closed_after_five_seconds(api: Api) -> None:
    client = api.connect()
    began = time.monotonic()
    assert client.close_code() == 4401
    assert 4 < time.monotonic() - began < 10


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nonsense",
        "Basic dXNlcjpwYXNz",
        "Bearer " + token("customer", uuid4(), ttl=-35, secret="x" * 40),
        "Bearer " + token("customer", uuid4(), secret="somebody else's secret, long enough"),
        "Bearer " + token("emperor", uuid4(), secret="x" * 40),
    ],
    # The tests' ids are explicit: both xdist workers must collect the same ids, but each generates other tokens.
    ids=["nonsense", "basic", "expired", "another secret", "unknown role"],
)
def test_a_bad_header_is_closed_where_apps_can_see_it(api: Api, header: str) -> None:
    assert api.connect(header).close_code() == 4401


def test_an_expired_token_is_refused(api: Api, someone: UUID) -> None:
    assert api.connect(f"Bearer {token('customer', someone, ttl=-31)}").close_code() == 4401


@pytest.mark.parametrize(
    "first", ['{"op":"ping"}', "not json", "[]", '{"op":"auth"}', '{"op":"auth","token":"x.y.z"}']
)
def test_a_first_frame_that_is_no_good_token_is_closed(api: Api, first: str) -> None:
    client = api.connect()
    client.ws.send(first)
    assert client.close_code() == 4401


def test_a_socket_ends_with_its_token(api: Api, someone: UUID) -> None:
    client = api.connect(f"Bearer {token('customer', someone, ttl=-28)}")
    assert client.frame()["event"] == "connected"
    assert client.close_code(within=5) == 4401


def test_a_fresh_token_lets_the_socket_live_on(api: Api, someone: UUID) -> None:
    client = api.connect(f"Bearer {token('customer', someone, ttl=-28)}")
    client.frame()
    client.send(op="auth", token=token("customer", someone))
    with pytest.raises(TimeoutError):
        client.close_code(within=3)


def test_a_fresh_token_of_another_user_closes_the_socket(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.send(op="auth", token=token("customer", uuid4()))
    assert client.close_code() == 4403, "the token is valid, but of another user"


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "websocket", "Connection": "Upgrade"}])
def test_what_is_no_websocket_handshake_is_a_bad_request(api: Api, headers: dict[str, str]) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"http://127.0.0.1:{api.port}/api/v1/ws", headers=headers), timeout=5)
    assert refused.value.code == 400
    assert refused.value.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
def test_another_method_than_get_is_not_allowed(api: Api, method: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(f"http://127.0.0.1:{api.port}/api/v1/ws", method=method), timeout=5)
    assert refused.value.code == 405
    assert refused.value.headers["Allow"] == "GET"
