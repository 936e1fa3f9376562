"""One log line per request that is answered with a status of 500 or more."""

from __future__ import annotations

import logging

from flask import Flask, Response, g, request

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.logs.context import extra

log = logging.getLogger(__name__)
# Under load a thousand requests a second may be refused. Each cause is logged once in ten seconds, with the number of
# lines that were left out.
log.addFilter(RateLimitFilter())


def log_rejected(rejected: Rejected) -> None:
    """Log a rejection if its status is 500 or more."""
    status = rejected.code.http_status
    if rejected.code in (Code.SERVICE_UNAVAILABLE, Code.AREA_PAUSED):
        # The number of lines is limited per message template. The detail is written into the template, so that a
        # frequent detail does not suppress the lines of others.
        _log(logging.WARNING, f"a request is refused: {rejected.detail}", status=status)
    elif status >= 500:
        cause = rejected.__cause__ or rejected
        _log(logging.ERROR, f"a request failed: {rejected.detail}", status=status, error=cause)


def log_unavailable_database(error: Exception) -> None:
    """Log that a request was answered with 503, because the database is not available."""
    _log(logging.WARNING, "the database is not available: %s", str(error).splitlines()[0], status=503)


def log_unexpected(error: Exception) -> None:
    """Log an unexpected exception with its traceback."""
    _log(logging.ERROR, "a request failed, because of an unexpected error", status=500, error=error)


def register(app: Flask) -> None:
    """Make the app log each server error that no error handler has logged, such as a probe's 503."""

    @app.after_request
    def _log_others(response: Response) -> Response:
        if response.status_code >= 500 and not g.get("server_error_is_logged"):
            _log(logging.WARNING, "a request is answered with a server error", status=response.status_code)
        return response


def _log(level: int, text: str, *values: object, status: int, error: BaseException | None = None) -> None:
    # The rule of the route is logged, and not the path, which may contain a token.
    rule, user = request.url_rule, g.get("caller")
    fields = {
        "route": rule.rule if rule else None,
        "method": request.method,
        "status": status,
        "role": user.role if user else None,
    }
    log.log(level, text, *values, exc_info=error, extra=extra(**fields))
    g.server_error_is_logged = True
