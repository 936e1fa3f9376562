"""User input is text everywhere: never SQL, never a header, never a field that only the server sets."""

from __future__ import annotations

import base64
import json
import re
import socket
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from flask import Flask

from tests.security.scene import BOOKING, KIND, ORDER, Scene, done
from tests.support.hostile import HUGE, ODD, SQL
from tests.support.system import System
from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("embedded")


@pytest.fixture(scope="module")
def scene(embedded: System) -> Scene:
    return Scene(embedded)


def is_refused(answer: httpx.Response) -> bool:
    """Assert that the response is a 4xx problem, and that it took less time than an injected `pg_sleep(9)` would."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.elapsed.total_seconds() < 5
    return True


def raw(system: System, request: bytes, within: float = 10.0) -> bytes:
    """Send these bytes and return what the server sends back."""
    with socket.create_connection(("127.0.0.1", system.port), timeout=within) as line:
        line.sendall(request)
        answer = b""
        while chunk := line.recv(65_536):
            answer += chunk
        return answer


# --- in addresses ---------------------------------------------------------------------------------------


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def addresses() -> list[str]:
    """Return every route of the app with an argument in its path, such as `GET /bookings/<id>`."""
    return sorted(
        f"{method} {rule.rule.removeprefix('/api/v1')}"
        for rule in app().url_map.iter_rules()
        if rule.arguments and rule.rule.startswith("/api/v1/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


# Users choose the values of these path arguments. The patterns describe the valid values.
CHOSEN = {"<token>": r"[\x21-\x7e]{8,4096}", "<vehicleNumber>": r"[A-Za-z0-9][A-Za-z0-9 \-]{2,19}"}


@pytest.mark.parametrize("route", addresses())
def test_an_id_is_an_id_or_400(embedded: System, route: str) -> None:
    method, _, path = route.partition(" ")
    role = min(app().view_functions[_endpoint(route)].roles)
    body = writes().get(re.sub(r"<(\w+)>", r"{\1}", route), ("", "", None))[2]
    with embedded.http(role, uuid4()) as client:
        for value in (*SQL, *ODD.values(), *HUGE.values(), "\0", "..%2f..%2fetc%2fpasswd", "x" * 1_000):
            address = re.sub(r"<\w+>", lambda _: quote(value, safe=""), path)  # noqa: B023
            if any(name in path and re.fullmatch(fine, value) for name, fine in CHOSEN.items()):
                continue
            answer = client.request(method, address, json=body)
            assert is_refused(answer), value
            assert answer.json()["code"] in ("VALIDATION_ERROR", "NOT_FOUND"), (value, answer.text)


def _endpoint(route: str) -> str:
    method, _, path = route.partition(" ")
    [endpoint] = [
        rule.endpoint
        for rule in app().url_map.iter_rules()
        if rule.rule == f"/api/v1{path}" and method in (rule.methods or ())
    ]
    return endpoint


def cursors() -> dict[str, str]:
    inside = [f"2026-01-01T00:00:00+00:00|{each}" for each in (*SQL, "not an id", f"{uuid4()}|{uuid4()}")]
    inside += [
        f"{each}|{uuid4()}" for each in (*SQL, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59", "")
    ]
    hidden = {f"cursor {each}": base64.urlsafe_b64encode(each.encode()).decode() for each in inside}
    return {**hidden, "plain": SQL[0], "no base64": "====", "not UTF-8": "_w==", "long": "A" * 200}


def test_a_cursor_is_one_of_ours_or_400(scene: Scene) -> None:
    for name, cursor in cursors().items():
        for path in ("/vehicles", "/drivers", "/offers", "/assignments"):
            assert is_refused(scene.fleet.http.get(path, params={"cursor": cursor})), name


@pytest.mark.parametrize("parameter", ["limit", "after"])
def test_a_number_in_an_address_is_a_number_or_400(scene: Scene, parameter: str) -> None:
    path = "/events" if parameter == "after" else "/vehicles"
    for value in (*SQL, *HUGE.values(), "", "\uff11\uff12x", "0x10", "1.5", "\0"):
        assert is_refused(scene.fleet.http.get(path, params={parameter: value})), value


# --- in bodies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*SQL, *ODD.values()])
def test_free_text_comes_back_as_it_was_written(embedded: System, text: str) -> None:
    """Free text, such as an address, a name or a reason, is stored and returned unchanged."""
    user_id, driver = uuid4(), uuid4()
    with embedded.http(Role.TRANSPORTER, user_id) as fleet, embedded.http(Role.CUSTOMER, user_id) as customer:
        name = done(fleet.put(f"/drivers/{driver}", json={"name": text, "phone": "+91 80 1111 1111"}))["name"]
        assert name == text.strip()
        assert done(fleet.get("/drivers"))["items"][0]["name"] == name
        pickup = {**BOOKING["pickup"], "address": text}
        asked = {**BOOKING, "pickup": pickup, "goodsType": text, "notes": text}
        booking = done(customer.post("/bookings", json=asked))
        assert booking["pickup"]["address"] == booking["goodsType"] == text.strip()
        assert done(customer.put(f"/bookings/{booking['id']}/cancel", json={"reason": text}))


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("name", HUGE)
def test_a_number_out_of_bounds_is_400(embedded: System, name: str) -> None:
    fields = ("trucksNeeded", "pricePerTruck", "distanceKm", "pickup.latitude", "drop.longitude")
    with embedded.http(Role.CUSTOMER, uuid4()) as customer:
        for path in fields:
            body = json.loads(json.dumps(BOOKING))
            place = body
            *parents, last = path.split(".")
            for parent in parents:
                place = place[parent]
            place[last] = "HERE"
            content = json.dumps(body).replace('"HERE"', HUGE[name])
            assert is_refused(customer.post("/bookings", content=content, headers=JSON)), path


def test_a_field_given_twice_is_no_way_around_anything(embedded: System) -> None:
    content = json.dumps(BOOKING)[:-1] + ', "trucksNeeded": 9999}'
    with embedded.http(Role.CUSTOMER, uuid4()) as customer:
        assert is_refused(customer.post("/bookings", content=content, headers=JSON))


# --- fields that only the server sets -------------------------------------------------------------------

SERVERS = (
    *("id", "status", "version", "customerId", "customer_id", "transporterId", "driverId", "userId", "role"),
    *(
        "createdAt",
        "expiresAt",
        "stateChangedAt",
        "trucksFilled",
        "transportersNotified",
        "radiusKm",
        "keyed",
    ),
    *("commandId", "command_id", "callerId", "isAdmin", "isAvailable", "__class__", "__proto__", "$set"),
)


def writes() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return (method, path, valid body) of every operation with a body, by route."""
    truck = {"vehicleId": str(uuid4()), "driverId": str(uuid4())}
    somewhere = {"latitude": 12.9, "longitude": 77.5}
    policy = {"area": {"center": somewhere, "radiusKm": 40}, "settings": {"holdSeconds": 30}}
    bodies: dict[str, dict[str, Any]] = {
        "POST /bookings": BOOKING,
        "POST /orders": ORDER,
        "PUT /bookings/{id}/cancel": {},
        "PUT /orders/{id}/cancel": {},
        "POST /broadcasts/{id}/accept": truck,
        "POST /truck-requests/{id}/accept": truck,
        "POST /broadcasts/{id}/hold": {"quantity": 1},
        "POST /broadcasts/{id}/decline": {},
        "POST /holds/{id}/confirm": {"assignments": [truck]},
        "POST /assignments/{id}/decline": {},
        "POST /assignments/{id}/give-back": {"reasonCode": "breakdown"},
        "POST /assignments/{id}/replace": truck,
        "POST /assignments/{id}/no-show": {},
        "POST /assignments/{id}/cancel": {"reasonCode": "too_slow"},
        "POST /assignments/{id}/end": {"outcome": "failed", "reasonCode": "other", "note": "No answer"},
        "POST /admin/broadcasts/{id}/cancel": {"reason": "By telephone"},
        "POST /admin/broadcasts/{id}/expire": {"reason": "By telephone"},
        "POST /admin/broadcasts/{id}/widen": {"reason": "By telephone"},
        "PUT /admin/transporters/{id}/availability": {"isAvailable": False, "reason": "By telephone"},
        "PUT /admin/policies/{scope}": {**policy, "reason": "For the market"},
        "POST /admin/policies/{scope}/preview": policy,
        "PUT /admin/policies/{scope}/paused": {"paused": True, "reason": "For the market"},
        "PUT /trips/{tripId}/status": {"status": "completed"},
        "POST /trips/{tripId}/location": somewhere,
        "POST /transporter/heartbeat": somewhere,
        "PUT /vehicles/{vehicleNumber}": KIND,
        "PUT /drivers/{driverId}": {"name": "A driver", "phone": "+91 80 1111 1111"},
        "PUT /transporter/availability": {"isAvailable": False},
        "PUT /driver/availability": {"isAvailable": False},
        "PUT /devices/{token}": {"platform": "ios"},
        "PUT /relations/transporters/{transporterId}": {"relation": "blocked"},
        "PUT /relations/customers/{customerId}": {"relation": "blocked"},
        "PUT /admin/customers/{customerId}/transporters/{transporterId}": {"relation": "contracted"},
        "POST /webhooks": {"url": "https://example.com/weelo", "events": ["*"]},
        "PUT /webhooks/{id}": {"events": ["*"]},
        "POST /webhooks/{id}/resend": {"fromSeq": 1, "toSeq": 2},
    }
    described = app().test_client().get("/openapi.json").get_json()["paths"]
    return {
        route: (method.upper(), path.removeprefix("/api/v1"), bodies[route])
        for path, methods in described.items()
        for method, operation in methods.items()
        if "requestBody" in operation
        for route in [f"{method.upper()} {path.removeprefix('/api/v1')}"]
    }


@pytest.mark.parametrize("route", writes())
def test_what_is_the_servers_to_say_is_refused_from_a_client(embedded: System, route: str) -> None:
    method, path, body = writes()[route]
    address = re.sub(r"{(\w+)}", lambda name: "KA01AA0001" if "Number" in name[1] else str(uuid4()), path)
    rule = re.sub(r"{(\w+)}", r"<\1>", route)
    with embedded.http(min(app().view_functions[_endpoint(rule)].roles), uuid4()) as client:
        for name in SERVERS:
            if name in body:
                continue
            answer = client.request(method, address, json={**body, name: body.get(name, "admin")})
            assert is_refused(answer), name
            assert answer.json()["code"] == "VALIDATION_ERROR", (name, answer.text)
        for inside, value in body.items():
            within = value[0] if isinstance(value, list) else value
            if isinstance(within, dict):
                spoiled = {**within, "id": str(uuid4())}
                answer = client.request(
                    method, address, json={**body, inside: [spoiled] if isinstance(value, list) else spoiled}
                )
                assert is_refused(answer), inside


def test_the_address_carries_no_fields_either(embedded: System) -> None:
    user_id = uuid4()
    with embedded.http(Role.CUSTOMER, user_id) as customer:
        booking = done(customer.post(f"/bookings?customerId={uuid4()}&status=completed", json=BOOKING))
    assert (booking["customerId"], booking["trucksFilled"]) == (str(user_id), 0)


# --- in headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*SQL, "x" * 10_000, "k" * 8 + "é", "a,b" * 5, "key key key"])
def test_a_key_is_a_key_or_400(embedded: System, key: str) -> None:
    with embedded.http(Role.CUSTOMER, uuid4()) as customer:
        header = {b"Idempotency-Key": key.encode()}
        if len(key) > 8_000:  # longer than gunicorn's limit of a header line
            assert customer.post("/bookings", json=BOOKING, headers=header).status_code in (400, 431)
        else:
            assert is_refused(customer.post("/bookings", json=BOOKING, headers=header))
        assert customer.get("/broadcasts/current").status_code == 404


@pytest.mark.parametrize(
    "prefer",
    [
        *SQL,
        "wait=99999999999999999999",
        "wait=-1",
        "wait=1e9",
        "wait=NaN",
        "wait=\x01",
        "wait=" + "9" * 4_000,
        "wait",
    ],
)
def test_a_preference_that_makes_no_sense_is_passed_over(embedded: System, prefer: str) -> None:
    """A preference that is not understood is ignored (RFC 7240, section 2), and no request waits without end."""
    with embedded.http(Role.CUSTOMER, uuid4()) as customer:
        answer = customer.put(f"/bookings/{uuid4()}/cancel", headers={b"Prefer": prefer.encode()})
        assert answer.status_code == 400 if "\x01" in prefer else answer.status_code == 202, answer.text
        assert "Preference-Applied" not in answer.headers


def test_line_ends_in_what_is_sent_make_no_header_of_an_answer(embedded: System) -> None:
    good = token(Role.CUSTOMER, uuid4())
    for line in (
        "GET /api/v1/bookings/x%0d%0aX-Injected:%201 HTTP/1.1",
        "GET /api/v1/broadcasts?cursor=x%0d%0aX-Injected:%201 HTTP/1.1",
        "GET /docs%0d%0aX-Injected:%201 HTTP/1.1",
        "GET //x.invalid/%0d%0aX-Injected:%201 HTTP/1.1",
    ):
        head = f"{line}\r\nHost: here\r\nAuthorization: Bearer {good}\r\nConnection: close\r\n\r\n"
        answer, _, _ = raw(embedded, head.encode()).partition(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 4"), line
        assert b"injected" not in answer.lower(), line


@pytest.mark.parametrize(
    "line",
    ["Idempotency-Key: a\0bcdefgh", "Idempotency-Key: abcdefgh\rX: y", "Bad Name: x", "X\0: y", " folded: x"],
)
def test_a_malformed_header_is_400(embedded: System, line: str) -> None:
    good = token(Role.CUSTOMER, uuid4())
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {good}\r\n{line}\r\n\r\n"
    assert raw(embedded, head.encode()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5, 6",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ],
)
def test_no_second_request_is_smuggled_behind_the_first(embedded: System, lines: str) -> None:
    """If a proxy and the API could disagree on where a body ends, the API sends a single response, an error."""
    good = token(Role.CUSTOMER, uuid4())
    first = f"POST /api/v1/bookings HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {good}\r\n{lines}\r\n\r\n"
    smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    answer = raw(embedded, (first + smuggled).encode(), within=40)
    assert re.match(rb"HTTP/1.1 (4\d\d|501)", answer), answer
    assert b'"status":"ok"' not in answer.replace(b" ", b"")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80@here", "here\tX", "a" * 300])
def test_the_name_that_a_client_calls_us_is_repeated_nowhere(embedded: System, host: str) -> None:
    """The Host header is repeated in no response. Otherwise a redirect could send users to another site."""
    forwarded = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "Host": host}
    for path in ("/docs", "/docs/", "/docs/http", "/api/v1/bookings/", "/openapi.json"):
        answer = httpx.get(f"{embedded.url}{path}", headers=forwarded)
        assert "evil" not in str(answer.headers), path
        assert answer.status_code < 500
