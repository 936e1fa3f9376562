"""The log lines of queues that no worker consumes: one when a queue is found idle, one when it is consumed again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor.checks.processes import idle_queues
from weelo_workers.messaging.worker_heartbeats import Consumption

log = logging.getLogger(__name__)

AFTER_SECONDS = 15.0
"""A worker that is restarted, or starts together with beat, consumes its queue again within this time."""


class IdleQueueLog:
    """Stores since when each queue has not been consumed, and logs the changes."""

    def __init__(self) -> None:
        self._idle_since: dict[Queue, float] = {}
        self._logged: set[Queue] = set()

    def note(self, seen: Mapping[Queue, Consumption]) -> None:
        """Record whether each queue is consumed now, and log the changes."""
        now = time.monotonic()
        for queue, consumption in seen.items():
            why = next(idle_queues({queue: consumption}, is_probed=False), None)
            if why is None:
                since = self._idle_since.pop(queue, now)
                if queue in self._logged:
                    self._logged.remove(queue)
                    log.warning("queue %s is consumed again, after %.0f s", queue, now - since)
            elif now - self._idle_since.setdefault(queue, now) >= AFTER_SECONDS and queue not in self._logged:
                self._logged.add(queue)
                log.warning("%s; beat executes its commands one by one", why)

    def forget(self) -> None:
        """Discard the idle times that are not logged yet. Called in an outage of the database: it is their cause."""
        for queue in self._idle_since.keys() - self._logged:
            del self._idle_since[queue]
