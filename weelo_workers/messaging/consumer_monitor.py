"""Observes, in the parent process of a worker, whether the child processes accept the messages that they are handed."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping

from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import Queue

HELD_LIMIT_SECONDS = 6.0
"""A child process that works accepts a message within milliseconds. If it takes longer than this, it is stopped or hangs."""
TICK_LIMIT_SECONDS = 8.0
"""The parent's event loop ticks every two seconds while it is connected to the broker."""


class ConsumerMonitor:
    """Keeps the times at which messages were handed to child processes. The parent's event loop calls `tick`."""

    def __init__(self, queues: Collection[Queue]) -> None:
        self._queues = tuple(queues)
        self._lock = threading.Lock()
        self._handed_at: dict[str, tuple[Queue, float]] = {}
        self._counts: dict[str, int] = {}
        self._accepted: frozenset[Queue] = frozenset()
        self._ticked_at = time.monotonic()

    def tick(self, handed: Mapping[str, str], counts: Mapping[str, int]) -> None:
        """Record the messages that wait for a child process now.

        `handed`: the names of the commands of these messages, by message id. `counts`: how many messages of each
        command the child processes have accepted so far.
        """
        now = time.monotonic()
        with self._lock:
            self._handed_at = {
                message: self._handed_at.get(message, (REGISTRY[name].queue, now))
                for message, name in handed.items()
                if name in REGISTRY
            }
            self._accepted = frozenset(
                REGISTRY[name].queue
                for name, count in counts.items()
                if count > self._counts.get(name, 0) and name in REGISTRY
            )
            self._counts = dict(counts)
            self._ticked_at = now

    def held(self) -> dict[Queue, float]:
        """Return, by queue, how long (seconds) its oldest message has waited for a child process; 0 if none waits."""
        now = time.monotonic()
        with self._lock:
            return {
                queue: max(
                    (now - since for of, since in self._handed_at.values() if of == queue), default=0.0
                )
                for queue in self._queues
            }

    def accepted(self) -> frozenset[Queue]:
        """Return the queues from which child processes accepted messages between the last two ticks."""
        return self._accepted

    def why_not_consuming(self) -> str | None:
        """Return why this worker cannot consume messages; None if it can."""
        since_tick = time.monotonic() - self._ticked_at
        if since_tick > TICK_LIMIT_SECONDS:
            return f"no connection to the broker for {since_tick:.0f} s"
        longest = max(self.held().values(), default=0.0)
        if longest > HELD_LIMIT_SECONDS:
            return f"a message has waited for a child process for {longest:.0f} s"
        return None
