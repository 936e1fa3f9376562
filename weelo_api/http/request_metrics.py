"""Counts requests by route and status, refusals by code, and responses with status 503 by cause."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from weelo_api.http.access import SOCKET
from weelo_workers.metrics.counters import IN_THIS_PROCESS

REQUESTS = Counter(
    "weelo_http_requests",
    "HTTP requests by route, method and status; all paths without a route count as `unknown`",
    ["route", "method", "status"],
    registry=IN_THIS_PROCESS,
)
SECONDS = Histogram(
    "weelo_http_request_seconds",
    "Time from the request to its answer, including the wait for an outcome (`Prefer: wait`); without sockets",
    ["route", "method"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    registry=IN_THIS_PROCESS,
)
REFUSALS = Counter(
    "weelo_refusals", "Error responses (problem+json), by their code", ["code"], registry=IN_THIS_PROCESS
)
UNAVAILABLE = Counter(
    "weelo_unavailable",
    "Requests answered 503, by cause: shed (too much is waiting), database, paused (by an operator), other",
    ["cause"],
    registry=IN_THIS_PROCESS,
)

SHED, DATABASE, PAUSED, OTHER = CAUSES = ("shed", "database", "paused", "other")
UNKNOWN = "unknown"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARAMETER = re.compile(r"<(?:[^:<>]+:)?(\w+)>")


def register(app: Flask) -> None:
    """Count every request of this app, and measure its time.

    Call this first, so that the time includes all other functions.
    """

    @app.before_request
    def _begin() -> None:
        g.began_at = time.perf_counter()

    @app.after_request
    def _count(response: Response) -> Response:
        route = UNKNOWN if request.url_rule is None else _pattern(request.url_rule.rule)
        method = request.method if request.method in _METHODS else "other"
        REQUESTS.labels(route, method, str(response.status_code)).inc()
        if request.endpoint != SOCKET and "began_at" in g:
            SECONDS.labels(route, method).observe(time.perf_counter() - g.began_at)
        if response.status_code == 503 and request.path.startswith("/api/"):
            UNAVAILABLE.labels(g.get("unavailable_cause", OTHER)).inc()
        return response


def set_unavailable_cause(cause: str) -> None:
    """Record why this request will be answered with 503. `cause`: one of CAUSES."""
    g.unavailable_cause = cause


def initialize() -> None:
    """Set the counter of each cause to zero when a process starts, so that Prometheus sees its first increase."""
    for cause in CAUSES:
        UNAVAILABLE.labels(cause)


@lru_cache(maxsize=1_000)
def _pattern(rule: str) -> str:
    return _PARAMETER.sub(r"{\1}", rule)
