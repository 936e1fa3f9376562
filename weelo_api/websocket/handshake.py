"""The opening handshake of a WebSocket, checked before a library parses it (RFC 6455, section 4.2.1)."""

from __future__ import annotations

import re

from flask import Request, Response

from weelo_api.http.errors import problem
from weelo_workers.contracts.rejections import Code

VERSION = "13"

_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # 24 characters are the base64 form of 16 bytes
_NEEDED = {
    "HTTP_HOST": "localhost",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": VERSION,
}
_KEPT = frozenset({"HTTP_SEC_WEBSOCKET_KEY", "HTTP_AUTHORIZATION"})


def refusal(request: Request) -> Response | None:
    """Return the error response to a request that is no valid opening handshake; None if it is valid."""
    if _is_valid(request):
        return None
    response = problem(
        Code.VALIDATION_ERROR,
        "Open a WebSocket here (RFC 6455, version 13), such as ws://localhost:8000/api/v1/ws",
        errors=[],
    )
    response.headers["Sec-WebSocket-Version"] = VERSION  # required by RFC 6455, section 4.4
    return response


def _is_valid(request: Request) -> bool:
    headers = request.headers
    connection = [option.strip().lower() for option in headers.get("Connection", "").split(",")]
    return (
        request.environ.get("SERVER_PROTOCOL") != "HTTP/1.0"
        and headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in connection
        and headers.get("Sec-WebSocket-Version") == VERSION
        and _KEY.fullmatch(headers.get("Sec-WebSocket-Key", "")) is not None
        # A request with a body is refused, because the body would be read as frames.
        and not request.content_length
        and "Transfer-Encoding" not in headers
    )


def keep_only_what_is_needed(request: Request) -> None:
    """Remove all headers that a valid handshake does not need, and simplify those that it needs.

    simple-websocket rewrites every header for wsproto to parse. wsproto raises uncaught errors for host names that are
    not IDNA and for values beyond ASCII, and h11, which wsproto uses, refuses more than 16 KiB of headers. This also
    removes permessage-deflate, which costs 100 KB per socket and lets 8 KiB on the wire inflate to megabytes.
    """
    environ = request.environ
    for name in [name for name in environ if name.startswith("HTTP_") and name not in _KEPT]:
        del environ[name]
    environ.update(_NEEDED)
