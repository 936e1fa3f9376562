"""Requests that wait for the outcome of a command (`Prefer: wait`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from weelo_api.per_process import PerProcess
from weelo_api.stream_reader import stream_reader
from weelo_workers.notifications.live_stream import STREAM_KEY


class OutcomeWaiters:
    """Wakes waiting requests, each in its own thread, when the live stream brings their outcome.

    `closing` is true during a shutdown, to end long waits.
    """

    def __init__(self) -> None:
        self.closing = False
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

    def on_events(self, items: Sequence[dict[str, Any]]) -> None:
        """Wake the requests whose outcomes are among these events of the live stream."""
        for item in items:
            if item["event"] == "command_settled":
                self._notify(item["data"].get("commandId", ""))

    def _notify(self, command_id: str) -> None:
        with self._lock:
            waiting = tuple(self._expected.get(command_id, ()))
        for settled in waiting:
            settled.set()


def _subscribe() -> OutcomeWaiters:
    waiters = OutcomeWaiters()
    stream_reader().subscribe(STREAM_KEY, waiters.on_events)
    return waiters


outcome_waiters = PerProcess(_subscribe)
"""Return this process's OutcomeWaiters. The first call subscribes it to the live stream."""
