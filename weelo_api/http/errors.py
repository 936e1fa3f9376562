"""Turns the errors of views, of validation and of Flask into RFC 9457 problem+json."""

from __future__ import annotations

import json
import logging
import re
from contextlib import suppress
from socket import socket
from typing import IO, Any

from flask import Flask, Response, g, request
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import BadRequest, HTTPException

from weelo_workers.contracts.rejections import Code, Rejected, problem_body
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.logs.context import extra
from weelo_workers.metrics import counters
from weelo_workers.models.engine import DATABASE_ERRORS, is_contention, is_outage

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())

SENDING_PAUSE_SECONDS = 1.0

_BY_STATUS = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.PAYLOAD_TOO_LARGE,
    429: Code.RATE_LIMITED,
}


def problem_response(body: dict[str, Any]) -> Response:
    response = Response(json.dumps(body), body["status"], content_type="application/problem+json")
    if "retryAfter" in body:
        response.headers["Retry-After"] = str(body["retryAfter"])
    return response


def problem(code: Code, detail: str = "", **extra: Any) -> Response:
    return problem_response(problem_body(code, detail, **extra))


def validation_response(error: ValidationError) -> Response:
    return problem_response(validation_error(error).problem())


_IS_A_TYPE = re.compile(r"str-enum\[\w+\]")


def validation_error(error: ValidationError) -> Rejected:
    """Return a VALIDATION_ERROR with one entry per field, named as in the request."""
    found = error.errors(include_url=False, include_input=False)
    by_field: dict[str, list[str]] = {}
    for each in found:
        # pydantic counts the valid items of a list, so that a list of one bad item also has an error for being empty.
        if each["type"] == "too_short" and any(_is_within(other["loc"], each["loc"]) for other in found):
            continue
        # A value that fits none of several types has one error per type. Its place ends with the type's name, which is
        # no part of the request.
        field = ".".join(str(part) for part in each["loc"] if not _IS_A_TYPE.fullmatch(str(part)))
        by_field.setdefault(field, []).append(_message(each))
    errors = [
        {"field": field, "message": ", or: ".join(dict.fromkeys(messages))}
        for field, messages in by_field.items()
    ]
    detail = "; ".join(f"{e['field']}: {e['message']}".lstrip(": ") for e in errors[:3])
    return Rejected(Code.VALIDATION_ERROR, detail, {"errors": errors})


def _is_within(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _message(error: ErrorDetails) -> str:
    """Return pydantic's text, without names of Python's types."""
    match error["type"]:
        case "too_short":
            return f"must have at least {_items(error['ctx']['min_length'])}"
        case "too_long":
            return f"must have at most {_items(error['ctx']['max_length'])}"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _drain_body() -> None:
    """Read the rest of the body, at most 1 MiB, until the client pauses for SENDING_PAUSE_SECONDS.

    Closing while the client is sending would reset the connection, and the client would lose the response.
    """
    unread: IO[bytes] = request.environ["wsgi.input"]
    line: socket | None = request.environ.get("gunicorn.socket")
    if line is not None:
        line.settimeout(SENDING_PAUSE_SECONDS)
    with suppress(OSError, BadRequest):
        for _ in range(16):
            if not unread.read(64 * 1024):
                break
    if line is not None:
        line.settimeout(None)


def _log(level: int, text: str, *values: object, status: int, error: BaseException | None = None) -> None:
    """Write the one line about a request that is answered with a server error. A path may contain a token, the rule of its route does not."""
    user = g.get("caller")
    rule = request.url_rule
    fields = {
        "route": rule.rule if rule else None,
        "method": request.method,
        "status": status,
        "role": user.role if user else None,
    }
    log.log(level, text, *values, exc_info=error, extra=extra(**fields))
    g.server_error_is_logged = True


def register(app: Flask) -> None:
    @app.errorhandler(Rejected)
    def _rejected(rejected: Rejected) -> Response:
        if rejected.code is Code.SERVICE_UNAVAILABLE:
            counters.UNAVAILABLE.labels("shed").inc()
            _log(logging.WARNING, "a request is refused, because too many commands wait", status=503)
        elif rejected.code.http_status >= 500:
            cause = rejected.__cause__ or rejected
            _log(logging.ERROR, "a request failed: %s", rejected.detail, status=500, error=cause)
        return problem_response(rejected.problem())

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        if error.response is not None:
            return error.response  # type: ignore[return-value]
        status = error.code or 500
        if status == 413:
            _drain_body()
        code = _BY_STATUS.get(status, Code.VALIDATION_ERROR if status < 500 else Code.INTERNAL_ERROR)
        extra: dict[str, Any] = {"errors": []} if code is Code.VALIDATION_ERROR else {}
        response = problem(code, error.description or "", **extra)
        # Headers that the status requires, such as `Allow` for 405 (RFC 9110, section 15.5.6).
        response.headers.extend([each for each in error.get_headers() if each[0] != "Content-Type"])
        return response

    def _database(error: Exception) -> Response:
        if not (is_outage(error) or is_contention(error)):
            return _unexpected(error)
        counters.UNAVAILABLE.labels("database").inc()
        reason = str(error).splitlines()[0]
        _log(logging.WARNING, "the database is not available: %s", reason, status=503)
        return problem(Code.SERVICE_UNAVAILABLE, "Try again in a moment.", retryAfter=1)

    for error_class in DATABASE_ERRORS:
        app.register_error_handler(error_class, _database)

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        _log(logging.ERROR, "a request failed, because of an unexpected error", status=500, error=error)
        return problem(Code.INTERNAL_ERROR, "It has been logged. Trying again is safe.")

    @app.after_request
    def _log_others(response: Response) -> Response:
        if response.status_code >= 500 and not g.get("server_error_is_logged"):
            _log(
                logging.WARNING, "a request is answered with a server error", status=response.status_code
            )
        return response
