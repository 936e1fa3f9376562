"""Turns the errors of views, of validation and of Flask into RFC 9457 problem+json."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from socket import socket
from typing import IO, Any

from flask import Flask, Response, request
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import BadRequest, HTTPException

from weelo_api.http import request_metrics, server_errors
from weelo_workers.contracts.rejections import Code, Rejected, problem_body
from weelo_workers.models.engine import DATABASE_ERRORS, is_contention, is_outage

SENDING_PAUSE_SECONDS = 1.0

_BY_STATUS = {
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.PAYLOAD_TOO_LARGE,
    429: Code.RATE_LIMITED,
}


def problem_response(body: dict[str, Any]) -> Response:
    request_metrics.REFUSALS.labels(body["code"]).inc()
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
        # pydantic counts only the valid items of a list. So it may report that a list with an invalid item is too
        # short, which would mislead the client.
        if each["type"] == "too_short" and any(_is_within(other["loc"], each["loc"]) for other in found):
            continue
        # A value that fits none of several types has one error per type. pydantic's `loc` of each error ends with the
        # name of the type. The name is removed, because it is not part of the request.
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


def register(app: Flask) -> None:
    @app.errorhandler(Rejected)
    def _rejected(rejected: Rejected) -> Response:
        server_errors.log_rejected(rejected)
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
        request_metrics.set_unavailable_cause(request_metrics.DATABASE)
        server_errors.log_unavailable_database(error)
        return problem(Code.SERVICE_UNAVAILABLE, "Try again in a moment.", retryAfter=1)

    for error_class in DATABASE_ERRORS:
        app.register_error_handler(error_class, _database)

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        server_errors.log_unexpected(error)
        return problem(Code.INTERNAL_ERROR, "It has been logged. Trying again is safe.")
