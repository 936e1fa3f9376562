"""The deviations from the API's documents that this process has seen. The fixture in tests/conftest.py fails the test."""

from __future__ import annotations

from collections import deque

_seen: deque[str] = deque()


def note(text: str) -> None:
    """Record a deviation. May be called from any thread."""
    _seen.append(text)


def drain() -> list[str]:
    """Return the deviations recorded since the last call."""
    drained = []
    while _seen:
        drained.append(_seen.popleft())
    return drained
