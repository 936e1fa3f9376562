"""Responses to requests that cannot be parsed and so never reach a view."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors

from weelo_api.http.headers import ERROR_HEADERS
from weelo_api.http.request_ids import HEADER
from weelo_workers.contracts.rejections import Code, problem_body

# Matches a host name or an address, with an optional port (RFC 3986, sections 3.2.2 and 3.2.3).
_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_REQUEST_ID = re.compile(rb"\n%b:[ \t]*([^\r\n]*?)[ \t]*\r?\n" % HEADER.encode(), re.IGNORECASE)

_FRAME_THE_BODY = "Send the body with a Content-Length, or with Transfer-Encoding: chunked."


class InvalidHost(errors.ParseException):  # type: ignore[misc]
    """A request without a Host header, or with one that is no host name (RFC 9112, section 3.2)."""

    def __str__(self) -> str:
        return "Send exactly one Host header with a name and an optional port, such as Host: localhost:8000"


# Status and detail for known errors of the parser. Every other error becomes a 400 with the parser's own message.
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


def check_head(request: Any) -> None:
    """Check Host and Transfer-Encoding more strictly than gunicorn's parser.

    Raises InvalidHost, or UnsupportedTransferCoding for a compressed body.
    """
    hosts = [value for name, value in request.headers if name == "HOST"]
    if len(hosts) > 1 or (not hosts and request.version >= (1, 1)):
        raise InvalidHost
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise InvalidHost
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING" and value.strip().lower() != "chunked":
            raise errors.UnsupportedTransferCoding(value)


def request_id_in(head: bytes) -> str | None:
    """Return the X-Request-Id in the head of a request that could not be parsed; None if it has none."""
    found = _REQUEST_ID.search(head.partition(b"\r\n\r\n")[0] + b"\r\n")
    return found[1].decode("latin-1") if found else None


def problem_of(error: Exception) -> dict[str, Any]:
    """Return the problem+json members for an exception that gunicorn raised before or after the application ran."""
    if not isinstance(error, errors.ParseException) or isinstance(error, _OUR_FAULT):
        return problem_body(Code.INTERNAL_ERROR, "It has been logged. Trying again is safe.")
    if isinstance(error, errors.InvalidHTTPVersion) and isinstance(error.version, str):
        error = errors.InvalidRequestLine(error.version)  # the request line contains no HTTP version
    status, detail = _KNOWN.get(type(error), (400, str(error)))
    return problem_body(Code.VALIDATION_ERROR, detail, status=status, errors=[])


def response(body: dict[str, Any], request_id: str) -> bytes:
    """Return the bytes of an HTTP/1.1 response with this problem. It announces that the connection ends."""
    content = json.dumps(body).encode()
    status = HTTPStatus(body["status"])
    headers = {
        "Connection": "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(content)),
        HEADER: request_id,
        **ERROR_HEADERS,
    }
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
