"""Requests that wait for the outcome of a command (`Prefer: wait`)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from weelo_api.per_process import PerProcess
from weelo_api.stream_reader import stream_reader
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.notifications.live_stream import STREAM_KEY


class Waiting:
    """A request that waits. `outcome`: the outcome that the live stream announced.

    `outcome` is None until the announcement. It stays None if another version of the program sent the announcement and
    this process cannot read it.
    """

    def __init__(self) -> None:
        self.outcome: CommandOutcome | None = None
        self._arrived = threading.Event()

    def wait(self, seconds: float) -> bool:
        """Wait for the outcome for at most `seconds`. Return whether it was announced."""
        return self._arrived.wait(seconds)

    def arrive(self, outcome: CommandOutcome | None) -> None:
        """End the wait. `outcome`: the announced outcome, or None if this process cannot read it."""
        self.outcome = outcome
        self._arrived.set()


class OutcomeWaiters:
    """Wakes requests that wait for an outcome when the live stream announces it. Each request waits in its own thread.

    `closing` is true during a shutdown, so that long waits end.
    """

    def __init__(self) -> None:
        self.closing = False
        self._lock = threading.Lock()
        self._expected: dict[str, list[Waiting]] = {}

    @contextmanager
    def expecting(self, command_id: UUID) -> Iterator[Waiting]:
        """Yield a Waiting that receives the outcome of this command when it is announced.

        Announcements may be lost, so the caller must poll the row as well.
        """
        settled = Waiting()
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
                self._notify(item["data"])

    def _notify(self, settled: dict[str, Any]) -> None:
        with self._lock:
            waiting = tuple(self._expected.get(settled.get("commandId", ""), ()))
        if not waiting:
            return
        try:
            outcome = CommandOutcome.model_validate(settled, strict=False, extra="ignore")
        except ValidationError:
            # Another version of the program announced the outcome with other fields. The waiting request reads the row.
            outcome = None
        for each in waiting:
            each.arrive(outcome)


def _subscribe() -> OutcomeWaiters:
    waiters = OutcomeWaiters()
    stream_reader().subscribe(STREAM_KEY, waiters.on_events)
    return waiters


outcome_waiters = PerProcess(_subscribe)
"""Return this process's OutcomeWaiters. The first call subscribes it to the live stream."""
