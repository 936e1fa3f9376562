"""Requests that wait for the outcome of a command (`Prefer: wait`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class OutcomeWaiters:
    """Connects waiting requests, each in its own thread, with the reader of the live stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: dict[str, list[threading.Event]] = {}

    @contextmanager
    def expecting(self, command_id: UUID) -> Iterator[threading.Event]:
        """Yield an event that is set when the outcome of this command is announced.

        Announcements may be lost, so the caller must poll the row as well.
        """
        settled = threading.Event()
        key = str(command_id)
        with self._lock:
            self._expected.setdefault(key, []).append(settled)
        try:
            yield settled
        finally:
            with self._lock:
                self._expected[key].remove(settled)
                if not self._expected[key]:
                    del self._expected[key]

    def notify(self, command_id: str) -> None:
        """Wake the requests that wait for this command."""
        with self._lock:
            waiting = tuple(self._expected.get(command_id, ()))
        for settled in waiting:
            settled.set()
