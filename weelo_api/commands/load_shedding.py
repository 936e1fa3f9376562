"""Load shedding by queue age.

A command refused here was not stored: the response is 503 with `Retry-After`, and a retry is safe.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Mapping

from weelo_api.commands.internal import waker
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.queues import TIMERS, Queue
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.backlog import Wait, waits
from weelo_workers.settings import settings

POLL_SECONDS = 0.5
STALE_AFTER_SECONDS = 2.0
# Fewer old rows than this are no sign of overload, because a lock or a short delay also leaves a few.
MANY = 50
# Commands about existing broadcasts (accept, cancel, a trip's status) are shed only at this multiple of SHED_AFTER_SECONDS.
PENDING_WORK_PATIENCE = 5.0
MAX_RETRY_AFTER_SECONDS = 30


class LoadShedder:
    """Decides by queue age whether to refuse a command. The ages are read only when needed, at most twice a second."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._looked_at = -math.inf
        self._waits: Mapping[Queue, Wait] = {}

    def refusal(self, command: Command) -> Rejected | None:
        """Return the Rejected with which to refuse this command, or None to accept it."""
        if waker().recently_failed:
            # Without Redis all commands wait for the sweep. That is no reason to refuse them (docs/contract.md, section
            # 3).
            return None
        self._refresh_waits()
        patience = settings().shed_after_seconds * (1 if command.sheddable else PENDING_WORK_PATIENCE)
        # A new broadcast causes timers, so the age of the queue `timers` counts as well.
        queues = {command.queue, TIMERS} if command.sheddable else {command.queue}
        longest = max(
            (self._waits[queue].oldest_seconds for queue in queues if self._is_full(queue)), default=0.0
        )
        if longest <= patience:
            return None
        pause = min(MAX_RETRY_AFTER_SECONDS, math.ceil(longest) + random.randrange(3))
        return Rejected(
            Code.SERVICE_UNAVAILABLE,
            "Too much is waiting already, and this was not accepted. Try again a little later.",
            {"retryAfter": pause},
        )

    def _is_full(self, queue: Queue) -> bool:
        if time.monotonic() - self._looked_at > STALE_AFTER_SECONDS:
            return False  # the figures are too old to refuse a command; another thread is reading new ones
        wait = self._waits.get(queue)
        return wait is not None and wait.count >= MANY

    def _refresh_waits(self) -> None:
        if time.monotonic() < self._looked_at + POLL_SECONDS or not self._looking.acquire(blocking=False):
            return  # the figures are new enough, or another thread is reading new ones
        try:
            with autocommit_engine().connect() as connection:
                self._waits = waits(connection)
        except DATABASE_ERRORS:
            self._waits = {}  # the database is unavailable, so storing the command will fail with a 503
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()
