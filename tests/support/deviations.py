"""Deviations of the system from its documents, collected while tests run.

The fixture `_no_deviations` in tests/conftest.py fails a test during which a deviation was recorded. A test that provokes
deviations on purpose has the marker `undocumented`, or provokes them within `tolerated()`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

UNDECLARED = "which it does not declare"
"""Part of the log line of a worker whose handler has rejected with an undeclared code (`messaging/run.py`)."""

_lock = threading.Lock()
_found: list[str] = []
_tolerated = 0


def record(deviation: str) -> None:
    """Add a deviation, unless a test tolerates deviations at the moment."""
    with _lock:
        if not _tolerated:
            _found.append(deviation)


def record_from_log(lines: Iterable[str]) -> None:
    """Add the undeclared rejections that are in these lines of a system's log."""
    for line in lines:
        if UNDECLARED in line:
            record(line.strip())


def take() -> list[str]:
    """Return the deviations recorded since the last call, each once."""
    with _lock:
        found = list(dict.fromkeys(_found))
        _found.clear()
        return found


@contextmanager
def tolerated() -> Iterator[None]:
    """Record no deviation of this process within the block."""
    global _tolerated  # noqa: PLW0603 (one counter for all threads of the process)
    with _lock:
        _tolerated += 1
    try:
        yield
    finally:
        with _lock:
            _tolerated -= 1


class FromLog(logging.Handler):
    """Records the undeclared rejections of handlers that run in this process."""

    def emit(self, record_: logging.LogRecord) -> None:
        record_from_log([record_.getMessage()])
