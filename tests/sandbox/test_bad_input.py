"""The routes of a sandbox refuse bad input with a 4xx problem, never with a 5xx, and change nothing."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.hostile import HUGE, ODD, SQL

pytestmark = pytest.mark.xdist_group("system")

FLEET = {
    "latitude": 28.6,
    "longitude": 77.2,
    "vehicleType": "open",
    "vehicleSubtype": "17 Feet",
    "trucks": 1,
    "behaviour": "silent",
    "afterSeconds": 1,
}
BODIES: dict[str, dict[str, Any]] = {
    "/clock/advance": {"seconds": 60},
    "/fleets": FLEET,
    "/tokens": {"role": "customer", "sub": "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d01"},
    "/reset": {},
}
FIELDS = [(path, name) for path, body in BODIES.items() for name in body]
OPTIONAL = {"sub"}
FREE_TEXT = {"vehicleType"}
JSON = {"Content-Type": "application/json"}


def is_refused(answer: httpx.Response, *statuses: int) -> bool:
    """Assert that the response is a problem with one of these statuses (default: 400). A 400 is a VALIDATION_ERROR."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert answer.status_code in (statuses or (400,)), answer.text
    assert answer.status_code != 400 or answer.json()["code"] == "VALIDATION_ERROR", answer.text
    assert answer.elapsed.total_seconds() < 5  # an injected `pg_sleep(9)` would take longer
    return True


def has_changed_nothing(sandbox: Sandbox) -> bool:
    assert sandbox.clock()["offsetSeconds"] == 10
    assert sandbox.rows("SELECT FROM sandbox.fleets") == []
    return True


@pytest.fixture
def moved(sandbox: Sandbox) -> Sandbox:
    """Return a sandbox whose clock was moved by 10 s. A request that resets the sandbox would set the clock back."""
    sandbox.advance(10)
    return sandbox


def send(sandbox: Sandbox, path: str, content: str | bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sandbox.routes.post(path, content=content, headers={**JSON, **named})


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_a_field_of_another_type_is_400(moved: Sandbox, path: str, field: str) -> None:
    values: list[Any] = [None, True, "", "text", "1", [], [1], {}, {"a": 1}, 1, -1, 1.5]
    for value in values:
        is_fine = (
            (value is None and field in OPTIONAL)
            or (isinstance(value, str) and value and field in FREE_TEXT)
            or (type(value) in (int, float) and type(BODIES[path][field]) in (int, float))
        )
        if not is_fine:
            assert is_refused(moved.post(path, {**BODIES[path], field: value})), value
    assert has_changed_nothing(moved)


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_sql_and_odd_characters_are_texts(moved: Sandbox, path: str, field: str) -> None:
    for text in (*SQL, *ODD.values(), "a\0b", "\ud800", "x" * 10_000):
        # A lone surrogate such as "\ud800" has no bytes in UTF-8. `json.dumps` writes it as an ASCII escape.
        answer = send(moved, path, json.dumps({**BODIES[path], field: text}))
        if answer.status_code == 201 and field in FREE_TEXT:
            assert answer.json()[field] == FLEET[field], "the spelling of the catalogue"
            assert moved.routes.delete(f"/fleets/{answer.json()['transporterId']}").status_code == 204
        else:
            assert is_refused(answer), text
    assert has_changed_nothing(moved)


@pytest.mark.parametrize(("path", "field"), FIELDS)
def test_a_number_of_any_size_is_400(moved: Sandbox, path: str, field: str) -> None:
    for number in HUGE.values():
        content = json.dumps({**BODIES[path], field: "HERE"}).replace('"HERE"', number)
        assert is_refused(send(moved, path, content)), number
    assert has_changed_nothing(moved)


@pytest.mark.parametrize("path", BODIES)
def test_a_field_that_is_unknown_or_given_twice_is_400(moved: Sandbox, path: str) -> None:
    body = BODIES[path]
    for name in ("id", "transporterId", "now", "offsetSeconds", "ready_at", "after_seconds", "__class__"):
        assert is_refused(moved.post(path, {**body, name: 1})), name
    for name, value in body.items() or [("everything", True)]:
        twice = json.dumps({name: value, **body})[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}"
        assert is_refused(send(moved, path, twice)), name
    assert has_changed_nothing(moved)


NO_OBJECTS = {
    "broken": b'{"seconds": ',
    "nested": b"[" * 30_000,
    "a text": b'"{}"',
    "a list": b"[]",
    "null": b"null",
    "a control character": b'{"role": "cust\x01omer"}',
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("name", NO_OBJECTS)
def test_a_body_that_is_no_json_object_is_400(moved: Sandbox, path: str, name: str) -> None:
    assert is_refused(send(moved, path, NO_OBJECTS[name]))
    assert has_changed_nothing(moved)


@pytest.mark.parametrize("path", BODIES)
def test_a_large_body_and_another_type_or_encoding_are_refused(moved: Sandbox, path: str) -> None:
    assert is_refused(send(moved, path, json.dumps({"a": "x" * 70_000})), 413)
    if BODIES[path]:
        form = moved.routes.post(
            path, content=json.dumps(BODIES[path]), headers={"Content-Type": "text/plain"}
        )
        assert is_refused(form, 415)
    assert is_refused(send(moved, path, b'{"role": "\xff"}'), 415)
    assert has_changed_nothing(moved)


@pytest.mark.parametrize("path", ["/clock/advance", "/fleets"])
def test_a_key_is_a_key_or_400(moved: Sandbox, path: str) -> None:
    for key in (*SQL, "x" * 1_000, "k" * 8 + "\u00e9", "a,b" * 5, ""):
        header = {**JSON, "Idempotency-Key": key}
        raw = {name.encode(): value.encode() for name, value in header.items()}
        answer = moved.routes.post(path, content=json.dumps(BODIES[path]), headers=raw)
        assert is_refused(answer), key
    assert has_changed_nothing(moved)


def test_the_id_of_a_fleet_is_an_id_or_400(moved: Sandbox) -> None:
    for text in (*SQL, *ODD.values(), *HUGE.values(), "\0", "..%2f..%2fetc%2fpasswd", "x" * 1_000):
        assert is_refused(moved.routes.delete(f"/fleets/{quote(text, safe='')}"), 400, 404), text
    assert is_refused(moved.routes.delete(f"/fleets/{uuid4()}"), 404)
    assert has_changed_nothing(moved)


@pytest.mark.parametrize("path", ["/clock", *BODIES])
def test_a_method_that_a_route_does_not_have_is_405(moved: Sandbox, path: str) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {"GET" if path == "/clock" else "POST"}:
        answer = moved.routes.request(method, path)
        assert is_refused(answer, 405), method
        assert re.search(r"\bGET\b" if path == "/clock" else r"\bPOST\b", answer.headers["allow"])
    assert has_changed_nothing(moved)


def test_parameters_in_the_address_move_no_clock(moved: Sandbox) -> None:
    assert is_refused(moved.post("/clock/advance?seconds=999", {}))
    assert moved.post("/tokens?role=admin&sub=1", {"role": "driver"}).json()["role"] == "driver"
    assert has_changed_nothing(moved)
