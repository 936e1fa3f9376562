"""The id of the HTTP request that caused the current work: stored with each command, and shown in log lines."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""In the API: the id of the request that is being answered. In a worker: the id of the request from which the command
follows, directly or through other commands."""
