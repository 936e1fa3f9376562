"""Bodies are refused unless they are one JSON text in UTF-8, are declared as such, and repeat no name in an object."""

from __future__ import annotations

import gzip
import inspect
import json
import re
from functools import lru_cache
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from tests.support.people import BOOKING
from tests.support.tokens import claims, signed
from weelo_workers.contracts.statuses import Role

# The fixture empties the mailbox, because load shedding refuses requests while many commands wait.
pytestmark = pytest.mark.usefixtures("world")

GOOD = json.dumps(BOOKING).encode()


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def routes(*, with_a_body: bool) -> list[tuple[str, str, str]]:
    """Return (method, path, role) of the API's routes other than GET, either those with a body or those without one."""
    found = []
    for rule in app().url_map.iter_rules():
        view = app().view_functions[rule.endpoint]
        method = "".join((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"})
        if not rule.rule.startswith("/api/v1/"):
            continue  # the console's routes take forms, not JSON
        if method and ("body" in inspect.signature(view).parameters) == with_a_body:
            path = rule.rule.replace("<vehicleNumber>", "KA01AB1234").replace("<scope>", "default")
            path = re.sub(r"<[^>]+>", str(uuid4()), path)
            found.append((method, path, min(view.roles)))
    return sorted(found, key=lambda each: (re.sub(r"[0-9a-f-]{36}", "{}", each[1]), each[0]))


def named(route: tuple[str, str, str]) -> str:
    return re.sub(r"[0-9a-f-]{36}", "{}", " ".join(route))


def send(
    body: bytes,
    content_type: str | None,
    *,
    route: tuple[str, str, str] | None = None,
    coding: str = "identity",
) -> Any:
    """Send this body as a new user and return the response. The default route is `POST /bookings`."""
    method, path, role = route or ("POST", "/api/v1/bookings", Role.CUSTOMER)
    bearer = {"Authorization": f"Bearer {signed(claims(role=role))}", "Content-Encoding": coding}
    content_type_header = {} if content_type is None else {"CONTENT_TYPE": content_type}
    client = app().test_client()
    return client.open(path, method=method, data=body, headers=bearer, environ_overrides=content_type_header)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.get_json()
    assert body["code"] == code
    return body


NOT_JSON = [
    None,
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "text/json",
    "application/javascript",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/jsonx",
    "json",
    "*/*",
    "application/json; charset=iso-8859-1",
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    "text/plain, application/json",
]


@pytest.mark.parametrize("content_type", NOT_JSON)
def test_a_body_that_is_not_declared_as_json_in_utf8_is_415_and_the_answer_names_the_type_to_send(
    content_type: str | None,
) -> None:
    answer = send(GOOD, content_type)
    refused = problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert "Content-Type: application/json" in refused["detail"]
    assert refused["retryable"] is False
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize("route", routes(with_a_body=True), ids=named)
def test_every_route_with_a_body_refuses_forms(route: tuple[str, str, str]) -> None:
    answer = send(b"latitude=1.0&longitude=1.0", "application/x-www-form-urlencoded", route=route)
    problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity", "aws-chunked"])
def test_a_body_in_a_content_coding_is_415_and_the_answer_forbids_codings(coding: str) -> None:
    answer = send(gzip.compress(GOOD), "application/json", coding=coding)
    assert "Content-Encoding" in problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")["detail"]
    assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json; charset="UTF-8"',
        "application/json; charset=utf8",
        "application/json; version=1",
        "application/json ; charset=utf-8",
    ],
)
def test_json_in_utf8_is_accepted_however_its_type_is_spelled(content_type: str) -> None:
    assert send(GOOD, content_type).status_code == 202


@pytest.mark.parametrize("content_type", [*NOT_JSON, "application/json"])
def test_the_type_of_an_empty_body_does_not_matter(content_type: str | None) -> None:
    """The Content-Type of an empty body is ignored, because many clients send one with every request."""
    for route in routes(with_a_body=False):
        assert send(b"", content_type, route=route).status_code == 202, route
    optional = ("PUT", f"/api/v1/bookings/{uuid4()}/cancel", Role.CUSTOMER)
    assert send(b"", content_type, route=optional).status_code == 202


def test_characters_beyond_ascii_are_decoded_as_utf8() -> None:
    body = json.dumps({**BOOKING, "notes": "दिल्ली से जयपुर"}, ensure_ascii=False).encode()
    assert send(body, "application/json").status_code == 202


DUPLICATES = {
    "at the top": GOOD[:-1] + b', "trucksNeeded": 2}',
    "the same value twice": GOOD[:-1] + b', "vehicleType": "Open"}',
    "inside": GOOD.replace(b'"latitude":', b'"latitude": 1.0, "latitude":', 1),
    "written in two ways": GOOD[:-1] + b', "truck\\u0073Needed": 2}',
    "in a list": b'{"vehicleRequirements": [{"quantity": 1, "quantity": 2}]}',
    "deep inside": b'{"a": ' * 50 + b'{"b": 1, "b": 2}' + b"}" * 50,
    "an empty name": b'{"": 1, "": 2}',
    "half of a surrogate pair": b'{"\\ud800": 1, "\\ud800": 2}',
    "beside a number with many digits": b'{"n": ' + b"9" * 10_000 + b', "a": 1, "a": 2}',
}


@pytest.mark.parametrize("name", DUPLICATES)
def test_a_repeated_name_is_400_and_the_error_names_it(name: str) -> None:
    errors = problem(send(DUPLICATES[name], "application/json"), 400, "VALIDATION_ERROR")["errors"]
    assert [error["message"] for error in errors] == ["appears more than once"]


@pytest.mark.parametrize("route", routes(with_a_body=False), ids=named)
def test_a_repeated_name_is_400_also_on_routes_without_a_body(route: tuple[str, str, str]) -> None:
    problem(send(b'{"a": 1, "a": 2}', "application/json", route=route), 400, "VALIDATION_ERROR")


ODD_JSON = {
    "NaN": b'{"trucksNeeded": NaN}',
    "Infinity": b'{"trucksNeeded": -Infinity}',
    "a number beyond doubles": b'{"trucksNeeded": 1e999}',
    "a number with 10,000 digits": b'{"trucksNeeded": ' + b"9" * 10_000 + b"}",
    "an exponent with 10,000 digits": b'{"trucksNeeded": 1e' + b"9" * 10_000 + b"}",
    "a leading zero": b'{"trucksNeeded": 01}',
    "a half of a surrogate pair": b'{"notes": "\\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "two texts": GOOD + GOOD,
    "a comma too many": GOOD[:-1] + b",}",
    "a comment": b"/* */" + GOOD,
    "single quotes": b"{'a': 1}",
    "lists in lists": b"[" * 30_000 + b"]" * 30_000,
    "objects in objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "spaces alone": b"   ",
    "null": b"null",
    "a NUL behind": GOOD + b"\x00",
}

NOT_UTF_8 = {
    "Latin-1": '{"notes": "über"}'.encode("latin-1"),
    "UTF-16": '{"notes": "x"}'.encode("utf-16"),
    "gzip": gzip.compress(GOOD),
    "overlong UTF-8": b'{"notes": "\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"notes": "\xed\xa0\x80"}',
}


@pytest.mark.parametrize("name", NOT_UTF_8)
def test_bytes_that_are_not_utf_8_are_415_whatever_the_header_says(name: str) -> None:
    problem(send(NOT_UTF_8[name], "application/json"), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("name", ODD_JSON)
def test_json_that_is_odd_is_400(name: str) -> None:
    problem(send(ODD_JSON[name], "application/json"), 400, "VALIDATION_ERROR")
