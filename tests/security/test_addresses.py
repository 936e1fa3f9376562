"""Every address has one spelling. Other spellings get a 404, not a redirect that could lose the method or the body."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote
from uuid import uuid4

import pytest
from flask import Flask

from tests.support.tokens import claims, signed


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def addresses() -> list[tuple[str, str]]:
    """Return (method, path) of every route, with values in the place of its arguments.

    The page `/` and the console are left out. The console answers unknown addresses with an HTML page.
    """
    found = set()
    for rule in app().url_map.iter_rules():
        path = re.sub(r"<[^>]+>", str(uuid4()), rule.rule)
        if path != "/" and not path.startswith("/console"):
            found |= {(method, path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return sorted(found, key=lambda each: (re.sub(r"[0-9a-f-]{36}", "{}", each[1]), each[0]))


def spellings(path: str) -> list[str]:
    return [
        path + "/",
        path + "//",
        "/" + path,
        path.replace("/", "//"),
        path.replace("/api/v1/", "/api/v1//"),
        path.replace("/api/v1/", "/api//v1/"),
        path.replace("/api/v1/", "/api/v1/./"),
        path.replace("/api/v1/", "/api/v1/../v1/"),
        path.replace("/api/v1/", "/API/v1/"),
        path.removeprefix("/"),
        "///" + path,
    ]


@pytest.mark.parametrize(
    ("method", "path"), addresses(), ids=lambda each: re.sub(r"[0-9a-f-]{36}", "{}", each)
)
def test_another_spelling_of_an_address_is_404_and_no_redirect(method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    for spelling in {"", *spellings(path)} - {path}:
        # PATH_INFO is set directly, as a server does it, because the test client would parse `//x` as a host.
        as_sent = {"PATH_INFO": spelling}
        answer = app().test_client().open(method=method, headers=headers, environ_overrides=as_sent)
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json"), spelling
        assert "Location" not in answer.headers


def test_no_route_ends_in_a_slash_since_werkzeug_would_redirect_to_it() -> None:
    assert [rule.rule for rule in app().url_map.iter_rules() if rule.rule.endswith("/")] == ["/", "/console/"]


@pytest.mark.parametrize("path", ["/%68ealthz", "/api%2fv1/events", "/api/v1%2Fevents", "/api/v1/%65vents"])
def test_an_address_whose_letters_or_slashes_are_encoded_is_404(path: str) -> None:
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    as_sent = {"PATH_INFO": unquote(path), "RAW_URI": path}
    answer = app().test_client().open(method="GET", headers=headers, environ_overrides=as_sent)
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("target", ["/api/v1/events#top", "/api/v1/events?limit=1#top", "/healthz#"])
def test_an_address_with_a_fragment_is_404(target: str) -> None:
    """A request must not contain a fragment (RFC 9112, section 3.2). gunicorn passes a fragment on in RAW_URI only."""
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    as_sent = {"PATH_INFO": re.split("[?#]", target)[0], "RAW_URI": target}
    answer = app().test_client().open(method="GET", headers=headers, environ_overrides=as_sent)
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


def test_what_has_to_be_encoded_in_an_address_may_be() -> None:
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    as_sent = {"PATH_INFO": "/api/v1/devices/a:b c", "RAW_URI": "/api/v1/devices/a%3Ab%20c?x=%2F"}
    answer = app().test_client().open(method="DELETE", headers=headers, environ_overrides=as_sent)
    assert answer.json["code"] != "NOT_FOUND"


@pytest.mark.parametrize(
    "query", ["limit=1&limit=2", "limit=1&limit=1", "cursor=a&limit=1&cursor=", "x=1&x=2"]
)
def test_a_query_parameter_that_is_given_twice_is_400(query: str) -> None:
    headers = {"Authorization": f"Bearer {signed(claims())}"}
    answer = app().test_client().get(f"/api/v1/bookings?{query}", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json["detail"].endswith(": appears more than once")


BROKEN = {"no UTF-8": "%ff", "half a character": "%E0%A4", "a surrogate": "%ED%A0%80", "too long": "%C0%AF"}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("path", ["/api/v1/admin/broadcasts", "/api/v1/bookings", "/console/broadcasts"])
def test_a_query_that_is_not_in_UTF_8_is_400(path: str, value: str) -> None:
    """Werkzeug would keep `%FF` as three characters, so the API would search for a text that the client never sent."""
    for query in (f"q={value}", f"{value}=1", f"limit=5&q=a{value}"):
        answer = app().test_client().get(f"{path}?{query}")
        assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR"), query
