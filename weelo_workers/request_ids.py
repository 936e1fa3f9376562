"""The id of the HTTP request that causes the work at hand: stored with each command, and shown in log lines."""

from __future__ import annotations

from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""In the API: the request that is being answered. In a worker: the request whose command, or a follow-up of it, is executed."""
