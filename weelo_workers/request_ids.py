"""The id of the HTTP request that causes the work at hand: stored with each command, and shown in log lines."""

from __future__ import annotations

import logging
from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""In the API: the request that is being answered. In a worker: the request whose command, or a follow-up of it, is executed."""


def label_log_records() -> None:
    """Give every log record the attributes `request_id` (None without one) and `of_request` (text for the end of a line).

    Formats of log lines end with `%(of_request)s`. Calling this again has no further effect.
    """
    make = logging.getLogRecordFactory()
    if make is not _labelled:
        _labelled.make = make  # type: ignore[attr-defined]
        logging.setLogRecordFactory(_labelled)


def _labelled(*args: object, **kwargs: object) -> logging.LogRecord:
    record: logging.LogRecord = _labelled.make(*args, **kwargs)  # type: ignore[attr-defined]
    own_id = request_id.get()
    record.request_id = own_id
    record.of_request = f" [request {own_id}]" if own_id else ""
    return record
