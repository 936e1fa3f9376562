"""Commands of the client: retries use the same key, refusals have a code, and every wait is bounded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.scripted_api import HANG_UP, Answer, ScriptedApi
from weelo_client import NO_KEY, Channel, Place, Rejected, StillPending, Unreachable, WeeloClient

SOMEWHERE: Place = {"latitude": 28.6315, "longitude": 77.2167, "address": "Connaught Place"}
TICKET = {"commandId": "c-1", "command": "broadcasts.create_booking", "status": "pending"}
AWAY = {"code": "SERVICE_UNAVAILABLE", "status": 503, "title": "Not available", "retryable": True}


@pytest.fixture
def client(api: ScriptedApi) -> Iterator[WeeloClient]:
    with WeeloClient(api.url, "a token", wait=2, retry_for=5) as client:
        yield client


def book(client: WeeloClient, **options: Any) -> Any:
    return client.create_booking(SOMEWHERE, SOMEWHERE, "Open", "17 Feet", 1, **options)


def keys_of(api: ScriptedApi) -> list[str | None]:
    return [request.headers.get("Idempotency-Key") for request in api.requests]


def test_a_command_carries_its_token_its_key_and_its_wait(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(201, {"id": "b-1"})]
    assert book(client, goods_type="Steel")["id"] == "b-1"
    (request,) = api.requests
    assert (request.method, request.path) == ("POST", "/api/v1/bookings")
    assert request.headers["Authorization"] == "Bearer a token"
    assert request.headers["Prefer"] == "wait=2"
    assert len(request.headers["Idempotency-Key"]) >= 8
    assert request.body["goodsType"] == "Steel"
    assert "distanceKm" not in request.body, "an absent field must not be sent as null"


@pytest.mark.parametrize("ending", ["/", "/api/v1", "/api/v1/"])
def test_a_base_url_may_end_with_a_slash_or_with_the_prefix_of_the_routes(
    api: ScriptedApi, ending: str
) -> None:
    api.answers = [(200, {"id": "b-1"})]
    with WeeloClient(api.url + ending, "a token") as client:
        assert client.get("/bookings/b-1") == {"id": "b-1"}
    assert [request.path for request in api.requests] == ["/api/v1/bookings/b-1"]
    api.on_socket = [lambda socket: socket.connected(0)]
    with Channel(api.url + ending, "a token") as channel:
        channel.wait_for("connected", within=5)


@pytest.mark.parametrize(
    "base_url", ["", "127.0.0.1:8000", "localhost:8000", "api.example.com", "ws://api.example.com", "http://"]
)
def test_a_base_url_that_is_no_address_is_refused_at_once(base_url: str) -> None:
    for make in (WeeloClient, Channel):
        with pytest.raises(ValueError, match=r"such as http://127\.0\.0\.1:8000"):
            make(base_url, "a token")


def test_each_call_is_a_command_of_its_own(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(201, {"id": "b-1"})]
    book(client)
    book(client)
    first, second = keys_of(api)
    assert first != second


def test_a_key_of_ones_own_is_sent_and_none_if_none_is_wanted(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(201, {"id": "b-1"})]
    book(client, key="button-press-17")
    book(client, key=NO_KEY)
    assert keys_of(api) == ["button-press-17", None]


@pytest.mark.parametrize("trouble", [(503, AWAY), (429, {"code": "RATE_LIMITED"}), (503, {}), HANG_UP])
def test_an_unrecorded_or_unanswered_command_is_repeated_with_the_same_key(
    api: ScriptedApi, client: WeeloClient, trouble: Answer
) -> None:
    api.answers = [trouble, trouble, (201, {"id": "b-1"})]
    assert book(client)["id"] == "b-1"
    assert len(api.requests) == 3
    assert len(set(keys_of(api))) == 1
    assert all(request.body == api.requests[0].body for request in api.requests)


def test_without_a_key_an_unanswered_command_is_not_repeated(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [HANG_UP]
    with pytest.raises(Unreachable):
        book(client, key=NO_KEY)
    assert len(api.requests) == 1


def test_retry_after_is_obeyed_or_the_refusal_handed_on_at_once(
    api: ScriptedApi, client: WeeloClient
) -> None:
    api.answers = [(503, AWAY, {"Retry-After": "1"}), (201, {"id": "b-1"})]
    began = time.monotonic()
    book(client)
    assert time.monotonic() - began >= 1
    api.answers = [(503, AWAY, {"Retry-After": "3600"})]
    began = time.monotonic()
    with pytest.raises(Rejected) as refused:
        book(client)
    assert time.monotonic() - began < 5
    assert refused.value.code == "SERVICE_UNAVAILABLE"
    assert refused.value.retryable


def test_an_api_that_does_not_know_whether_it_was_recorded_is_asked_again_with_the_same_key(
    api: ScriptedApi, client: WeeloClient
) -> None:
    api.answers = [(500, {"code": "INTERNAL_ERROR", "status": 500, "retryable": True}), (201, {"id": "b-1"})]
    assert book(client)["id"] == "b-1"
    assert len({request.headers["Idempotency-Key"] for request in api.requests}) == 1


def test_a_recorded_outcome_is_not_asked_for_again(api: ScriptedApi, client: WeeloClient) -> None:
    """The outcome of a key never changes, so the client keeps it."""
    api.answers = [(503, {"code": "ACCEPT_RETRY_EXHAUSTED", "status": 503, "retryable": True})]
    with pytest.raises(Rejected, match="ACCEPT_RETRY_EXHAUSTED"):
        client.accept("b-1", "v-1", "d-1")
    assert len(api.requests) == 1


def test_a_test_of_a_webhook_whose_outcome_is_rate_limited_is_not_asked_for_again(
    api: ScriptedApi, client: WeeloClient
) -> None:
    """A 429 with Preference-Applied is the recorded outcome of the command. Without this header, no command was recorded."""
    limited = {"code": "RATE_LIMITED", "status": 429, "retryable": True}
    api.answers = [(429, limited, {"Preference-Applied": "wait=15"})]
    with pytest.raises(Rejected, match="RATE_LIMITED"):
        client.command("POST", "/webhooks/w-1/test")
    assert len(api.requests) == 1


def test_a_refusal_has_its_code_and_the_whole_problem(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(409, {"code": "ORDER_ACTIVE_EXISTS", "status": 409, "activeBroadcastId": "b-0"})]
    with pytest.raises(Rejected) as refused:
        book(client)
    assert refused.value.code == "ORDER_ACTIVE_EXISTS"
    assert refused.value.status == 409
    assert refused.value.problem["activeBroadcastId"] == "b-0"
    assert not refused.value.retryable


def test_an_error_without_problem_json_is_a_refusal_too(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(502, [])]
    with pytest.raises(Rejected, match="HTTP_502"):
        client.booking("b-1")


def test_a_refused_connection_is_unreachable_within_the_bound() -> None:
    with socket.socket() as reserved:  # the port refuses connections, because the socket does not listen
        reserved.bind(("127.0.0.1", 0))
        client = WeeloClient(f"http://127.0.0.1:{reserved.getsockname()[1]}", "t", retry_for=0.5)
        began = time.monotonic()
        with pytest.raises(Unreachable):
            client.offers()
        assert time.monotonic() - began < 5


def test_an_unanswered_command_can_be_repeated_under_its_key(api: ScriptedApi) -> None:
    api.answers = [HANG_UP]
    with WeeloClient(api.url, "a token", retry_for=0.3) as client:
        with pytest.raises(Unreachable, match="key=") as lost:
            book(client)
        api.answers = [(201, {"id": "b-1"})]
        assert lost.value.key is not None
        assert book(client, key=lost.value.key)["id"] == "b-1"
        api.answers = [HANG_UP]
        with pytest.raises(Unreachable) as unanswered:
            client.offers()
        assert unanswered.value.key is None
    assert len(set(keys_of(api)) - {None}) == 1


def test_after_a_202_the_outcome_is_looked_for(api: ScriptedApi, client: WeeloClient) -> None:
    settled = {**TICKET, "status": "succeeded", "httpStatus": 201, "result": {"id": "b-1"}, "replayed": True}
    api.answers = [(202, TICKET), (200, TICKET), (200, TICKET), (200, settled)]
    outcome = client.command("POST", "/bookings", {})
    assert outcome.value() == {"id": "b-1"}
    assert outcome.replayed
    assert [request.path for request in api.requests[1:]] == ["/api/v1/commands/c-1"] * 3


def test_a_rejection_found_that_way_is_raised(api: ScriptedApi, client: WeeloClient) -> None:
    error = {"code": "BROADCAST_FILLED", "status": 409}
    api.answers = [(202, TICKET), (200, {**TICKET, "status": "rejected", "httpStatus": 409, "error": error})]
    with pytest.raises(Rejected, match="BROADCAST_FILLED"):
        client.accept("b-1", "v-1", "d-1")


def test_not_settled_in_time_is_still_pending(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(202, TICKET), (200, TICKET)]
    began = time.monotonic()
    with pytest.raises(StillPending) as pending:
        book(client, wait=0.4)
    assert time.monotonic() - began < 5
    assert pending.value.command_id == "c-1"


def test_not_waiting_at_all_asks_for_no_wait(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(202, TICKET)]
    outcome = client.command("PUT", "/transporter/availability", {"isAvailable": False}, wait=0)
    assert not outcome.settled
    assert outcome.command_id == "c-1"
    assert "Prefer" not in api.requests[0].headers
    assert len(api.requests) == 1


def test_a_list_is_read_to_its_end(api: ScriptedApi, client: WeeloClient) -> None:
    pages = [{"items": [1, 2], "nextCursor": "a"}, {"items": [3], "nextCursor": None}]
    api.answers = [(200, page) for page in pages]
    assert client.items("/offers") == [1, 2, 3]
    assert "cursor=a" in api.requests[1].path


def test_no_open_broadcast_is_none(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(404, {"code": "BROADCAST_NOT_FOUND", "status": 404})]
    assert client.current_broadcast() is None


def test_a_token_function_is_asked_each_time(api: ScriptedApi) -> None:
    tokens = iter(["first", "second"])
    api.answers = [(200, {"items": []})]
    with WeeloClient(api.url, lambda: next(tokens)) as client:
        client.offers()
        client.offers()
    assert [request.headers["Authorization"] for request in api.requests] == ["Bearer first", "Bearer second"]


def test_values_in_a_path_are_quoted(api: ScriptedApi, client: WeeloClient) -> None:
    api.answers = [(201, {"id": "v-1"})]
    client.register_vehicle("DL01 AB 0042", "Open", "17 Feet")
    assert api.requests[0].path == "/api/v1/vehicles/DL01%20AB%200042"


def test_a_page_of_another_server_is_refused_without_its_markup(
    api: ScriptedApi, client: WeeloClient
) -> None:
    """Before a user signs in, a public network may answer every request with 200 and its own sign-in page."""
    api.answers = [(200, b"<html>\n<body>Sign in</body>\n</html>", {"Content-Type": "text/html"})]
    for ask in (client.current_broadcast, lambda: book(client)):
        with pytest.raises(Rejected, match="200 HTTP_200") as refused:
            ask()
        assert "<" not in str(refused.value)
