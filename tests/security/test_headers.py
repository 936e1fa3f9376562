"""Every response has headers that forbid caching of private data, guessing of its type, and display in a frame."""

from __future__ import annotations

import re
from functools import lru_cache
from uuid import uuid4

import pytest
from flask import Flask

from tests.support.tokens import claims, signed


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


def paths() -> list[str]:
    return sorted({re.sub(r"<[^>]+>", "x", rule.rule) for rule in app().url_map.iter_rules()})


@pytest.mark.parametrize("path", [*paths(), "/nothing/here"])
def test_no_answer_is_sniffed_framed_or_referred_from(path: str) -> None:
    answer = app().test_client().get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    # With no-referrer a browser would send the forms of the console with `Origin: null`, which the console refuses.
    policy = "same-origin" if path.startswith("/console") else "no-referrer"
    assert answer.headers["Referrer-Policy"] == policy
    assert "Set-Cookie" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", [path for path in paths() if path.startswith("/api/")])
def test_what_is_somebodys_own_is_kept_by_no_cache_and_refused_without_a_token(path: str) -> None:
    answer = app().test_client().post(path) if path.endswith("/ws") else app().test_client().get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_good_answer_is_kept_by_no_cache_either(migrated: None) -> None:
    headers = {"Authorization": f"Bearer {signed(claims(sub=str(uuid4())))}"}
    answer = app().test_client().get("/api/v1/events", headers=headers)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.content_type == "application/json"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_state_of_the_moment_is_kept_by_no_cache(path: str, migrated: None) -> None:
    answer = app().test_client().get(path)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PATCH", "PROPFIND", "GEt"])
def test_other_methods_are_refused(method: str) -> None:
    assert app().test_client().open("/api/v1/bookings", method=method).status_code == 405


def test_pages_of_others_get_no_permission_to_read() -> None:
    """Responses to preflight requests lack the headers that would let a page of another site read the API's responses."""
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = app().test_client().options("/api/v1/bookings", headers=asked)
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
