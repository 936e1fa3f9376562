"""Who waits for the outcome of a command, and who hears of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class OutcomeWaiters:
    """Requests wait here, each in its own thread; the reader of news tells them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: dict[str, list[threading.Event]] = {}

    @contextmanager
    def expecting(self, command_id: UUID) -> Iterator[threading.Event]:
        """An event whose `wait(seconds)` returns True once news of this command's outcome has passed.

        News may be lost: look at the row now and then as well.
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
        """News: this command is settled."""
        with self._lock:
            waiting = tuple(self._expected.get(command_id, ()))
        for settled in waiting:
            settled.set()
