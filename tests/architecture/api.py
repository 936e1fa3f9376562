"""The API's routes, and its descriptions openapi.json and asyncapi.json."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from flask import Flask

OFF_THE_PREFIX = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /asyncapi.json",
    "GET /docs",
    "GET /console",
}

PREFIX = "/api/v1"


@lru_cache
def app() -> Flask:
    from weelo_api import create_app

    return create_app()


@lru_cache
def openapi() -> dict[str, Any]:
    response = app().test_client().get("/openapi.json")
    assert response.status_code == 200
    description: dict[str, Any] = response.get_json()
    return description


@lru_cache
def asyncapi() -> dict[str, Any]:
    response = app().test_client().get("/asyncapi.json")
    assert response.status_code == 200
    description: dict[str, Any] = response.get_json()
    return description


def routes() -> dict[str, str]:
    """Return the endpoint of each route under `/api/v1`, as a dict with keys such as `POST /bookings/{}`."""
    return {
        f"{method} {re.sub(r'<[^>]+>', '{}', rule.rule.removeprefix(PREFIX))}": rule.endpoint
        for rule in app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(f"{PREFIX}/")
    }


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (`POST /bookings/{}`, operation) for each operation under `/api/v1` in openapi.json."""
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            if path.startswith(PREFIX):
                yield f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path.removeprefix(PREFIX))}", operation
