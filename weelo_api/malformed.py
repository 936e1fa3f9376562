"""Responses to requests that cannot be parsed and so never reach a view."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors

from weelo_api.headers import ERROR_HEADERS
from weelo_workers.contracts.rejections import Code, problem

_FRAME_THE_BODY = "Send the body with a Content-Length, or with Transfer-Encoding: chunked."

# Status and detail by the parser's error. All other errors are 400 with the parser's own message.
_KNOWN: dict[type[Exception], tuple[int, str]] = {
    errors.InvalidRequestLine: (400, "Begin with a line such as: GET /healthz HTTP/1.1"),
    errors.InvalidRequestMethod: (400, "Write the method in capital letters, such as GET or POST."),
    errors.InvalidHTTPVersion: (505, "Use HTTP/1.1."),
    errors.LimitRequestLine: (414, "Make the address shorter: the first line may have at most 8,190 bytes."),
    errors.LimitRequestHeaders: (
        431,
        "Send at most 100 headers, each of at most 8,190 bytes, 32 KiB in all.",
    ),
    errors.ExpectationFailed: (417, "Send no Expect header other than 100-continue."),
    errors.UnsupportedTransferCoding: (501, _FRAME_THE_BODY),
}
_OUR_FAULT = (
    errors.InvalidResponseHeader,
    errors.InvalidResponseHeaderName,
    errors.ConfigurationProblem,
)


def problem_of(error: Exception) -> dict[str, Any]:
    """Return the problem+json members for an exception that gunicorn raised before or after the application ran."""
    if not isinstance(error, errors.ParseException) or isinstance(error, _OUR_FAULT):
        return problem(Code.INTERNAL_ERROR, "It has been logged. Trying again is safe.")
    if isinstance(error, errors.InvalidHTTPVersion) and isinstance(error.version, str):
        error = errors.InvalidRequestLine(error.version)  # no version at all
    status, detail = _KNOWN.get(type(error), (400, str(error)))
    return problem(Code.VALIDATION_ERROR, detail, status=status, errors=[])


def response(body: dict[str, Any]) -> bytes:
    """Return a whole HTTP/1.1 response with this problem, after which the connection ends."""
    content = json.dumps(body).encode()
    status = HTTPStatus(body["status"])
    headers = {
        "Connection": "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(content)),
        **ERROR_HEADERS,
    }
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
