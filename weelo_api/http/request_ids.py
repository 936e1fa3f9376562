"""`X-Request-Id`: taken from the request or made here, returned with every response, and shown in log lines."""

from __future__ import annotations

import re
from uuid import uuid4

from flask import Flask, Response, request

from weelo_workers.logs import context
from weelo_workers.request_ids import request_id

HEADER = "X-Request-Id"

# The characters of UUIDs, of ULIDs, of base64 and of paths. All of them are safe in logs, headers and shells.
_SAFE = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")


def accepted(sent: str | None) -> str:
    """Return the id that the client sent. Return a new id if it is missing, too long or has other characters than _SAFE."""
    return sent if sent is not None and _SAFE.fullmatch(sent) else str(uuid4())


def register(app: Flask) -> None:
    """Set the id of each request. Call this first, so that the log lines of all other functions have the id."""

    @app.before_request
    def _begin() -> None:
        request_id.set(accepted(request.headers.get(HEADER)))

    @app.after_request
    def _return(response: Response) -> Response:
        response.headers[HEADER] = request_id.get() or accepted(None)
        return response

    @app.teardown_request
    def _end(_: BaseException | None) -> None:
        # The thread goes on with other work, whose log lines must not have this id and these fields.
        request_id.set(None)
        context.clear()
