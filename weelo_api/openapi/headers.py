"""The headers of requests and responses: one entry per header, with the routes and statuses that have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from weelo_api.http.access import SOCKET
from weelo_api.openapi.answers import outcome_codes, rejections
from weelo_api.openapi.routes import Route
from weelo_workers.contracts.rejections import Code


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """A header of requests. `applies`: returns whether a route reads the header."""

    name: str
    description: str
    schema: dict[str, Any]
    example: str
    applies: Callable[[Route], bool]


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """A header of responses. `when`: returns whether a response has it: ALWAYS, SOMETIMES or None (never)."""

    name: str
    description: str
    schema: dict[str, Any]
    when: Callable[[Route, int], str | None]


ALWAYS, SOMETIMES = "always", "sometimes"
_TEXT = {"type": "string"}


def _has_etag(route: Route) -> bool:
    return any(answer.status == 304 for answer in route.answers)


REQUEST_HEADERS = (
    RequestHeader(
        "Idempotency-Key",
        "A key of your own for this request. If you repeat the request with the same key, it has no second effect, and "
        "the response is the outcome of the first one. Quotes around the key are not part of it.",
        # The same pattern as in `commands/idempotency.py`.
        {"type": "string", "pattern": r'^(?:[A-Za-z0-9:_-]{8,128}|"[A-Za-z0-9:_-]{8,128}")$'},
        "4f9c2f6e-booking-1",
        lambda route: any(Code.IDEMPOTENCY_CONFLICT in codes for codes in rejections(route).values()),
    ),
    RequestHeader(
        "Prefer",
        "`wait=N`: answer with the outcome instead of 202, if the command is executed within N seconds, at most 30.",
        _TEXT,
        "wait=10",
        lambda route: route.is_command,
    ),
    RequestHeader(
        "If-None-Match",
        "The `ETag` of the answer that you have. If nothing has changed, the answer is 304 without a body.",
        _TEXT,
        'W/"5d41402abc4b2a76b9719d911017c592"',
        _has_etag,
    ),
    RequestHeader(
        "X-Request-Id",
        "An id of your own for this request: 1 to 128 letters, digits and characters of `._~:/+=@-`. The response and "
        "the server's log contain it. Without it, or with other characters, the server creates one.",
        _TEXT,
        "app-7f3a-0042",
        lambda route: route.is_api,
    ),
)


def _of_commands(route: Route, status: int) -> str | None:
    """Return whether a response is the outcome of a stored command: ALWAYS, SOMETIMES, or None for never."""
    if not route.is_command or status == 202:
        return None
    codes = rejections(route).get(status, [])
    recorded = [code for code in codes if code in outcome_codes(route)]
    # VALIDATION_ERROR may also be the code of a body or header that is refused before the command is stored, and
    # NOT_FOUND that of an unknown route (an id with a slash). So these two do not prove that a command was stored.
    if len(recorded) == len(codes) and not {Code.VALIDATION_ERROR, Code.NOT_FOUND} & set(codes):
        return ALWAYS
    return SOMETIMES if recorded else None


def _rate_limit_policy(route: Route, status: int) -> str | None:
    if not route.is_command:
        return None
    # The header is missing if a request reached no route: an id with a slash matches no route (404), and a request that
    # is no valid HTTP does not reach the application (400).
    without_route = status == 400 or Code.NOT_FOUND in rejections(route).get(status, [])
    return SOMETIMES if without_route else ALWAYS


def _retry_after(route: Route, status: int) -> str | None:
    codes = rejections(route).get(status, [])
    if any(code.retryable for code in codes) and status != 500:
        return ALWAYS
    return SOMETIMES if Code.TOO_EARLY in codes else None


ANSWER_HEADERS = (
    AnswerHeader(
        "Location",
        "Where the outcome of the command can be read.",
        {"type": "string", "format": "uri-reference"},
        lambda route, status: ALWAYS if route.is_command and status == 202 else _of_commands(route, status),
    ),
    AnswerHeader("Preference-Applied", "The `wait` that was applied: `wait=N`.", _TEXT, _of_commands),
    AnswerHeader(
        "Idempotency-Replayed",
        "`true`: this is the outcome of an earlier command, which was not executed again.",
        {"type": "string", "enum": ["true"]},
        lambda route, status: SOMETIMES if _of_commands(route, status) else None,
    ),
    AnswerHeader(
        "Retry-After",
        "After how many seconds the same request may succeed.",
        {"type": "integer", "minimum": 0},
        _retry_after,
    ),
    AnswerHeader(
        "X-Request-Id",
        "The id of this request: the one that was sent, or one that the server created.",
        _TEXT,
        lambda route, _: ALWAYS if route.is_api else None,
    ),
    AnswerHeader(
        "ETag",
        "Identifies this state of the object, for `If-None-Match`.",
        _TEXT,
        lambda route, status: ALWAYS if _has_etag(route) and status in (200, 304) else None,
    ),
    AnswerHeader(
        "RateLimit-Policy",
        "The limits of this route for one user: `q` requests within `w` seconds. `commands` is counted by each API process, "
        "`availability` for all of them together.",
        _TEXT,
        _rate_limit_policy,
    ),
    AnswerHeader(
        "RateLimit",
        "How many requests are left (`r`), and after how many seconds (`t`) all `q` are. A response to a request without a "
        "valid token does not have this header.",
        _TEXT,
        lambda route, _: SOMETIMES if route.is_command else None,
    ),
    AnswerHeader(
        "WWW-Authenticate",
        "How to authenticate (RFC 9110, section 11.6.1).",
        {"type": "string", "enum": ["Bearer"]},
        lambda _, status: ALWAYS if status == 401 else None,
    ),
    AnswerHeader(
        "Accept",
        "The media type of bodies (RFC 9110, section 15.5.16).",
        {"type": "string", "enum": ["application/json"]},
        lambda _, status: ALWAYS if status == 415 else None,
    ),
    AnswerHeader(
        "Accept-Encoding",
        "The content coding that bodies may have: none.",
        {"type": "string", "enum": ["identity"]},
        lambda _, status: ALWAYS if status == 415 else None,
    ),
    AnswerHeader(
        "Sec-WebSocket-Version",
        "The version of the WebSocket protocol that the server supports (RFC 6455, section 4.4).",
        {"type": "string", "enum": ["13"]},
        lambda route, status: ALWAYS if route.endpoint == SOCKET and status == 400 else None,
    ),
)
