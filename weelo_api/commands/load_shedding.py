"""A rate limit per caller, and load shedding by queue age.

A command refused here was not stored: the response is 429 or 503 with `Retry-After`, and a retry is safe.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Mapping
from uuid import UUID

from weelo_api.commands.internal import waker
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.queues import NOTIFICATIONS, TIMERS, Queue
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.backlog import Wait, waits
from weelo_workers.settings import settings

POLL_SECONDS = 0.5
STALE_AFTER_SECONDS = 2.0
# A few old rows may be caused by a lock or a slow moment. Only this many mean too much work.
MANY = 50
# Commands about existing broadcasts (accept, cancel, a trip's status) are shed only at this multiple of SHED_AFTER_SECONDS.
PENDING_WORK_PATIENCE = 5.0
MAX_RETRY_AFTER_SECONDS = 30

# After a quiet time a caller may send this many seconds' worth of commands at once.
BURST_SECONDS = 10
REMEMBERED_CALLERS = 10_000


class LoadShedder:
    """Decides by queue age whether to refuse a command. Reads the ages at most twice a second, and only when asked."""

    def __init__(self) -> None:
        self._looking = threading.Lock()
        self._looked_at = -math.inf
        self._waits: Mapping[Queue, Wait] = {}

    def refusal(self, command: Command) -> Rejected | None:
        """Return the Rejected with which to refuse this command, or None to accept it."""
        if waker.recently_failed:
            # Without Redis all commands wait for the sweep, which is no reason to refuse (docs/contract.md, section 3).
            return None
        self._look()
        patience = settings().shed_after_seconds * (1 if command.sheddable else PENDING_WORK_PATIENCE)
        # A new broadcast adds timers and notifications for hundreds of fleets, so those queues must not be late either.
        queues = {command.queue, TIMERS, NOTIFICATIONS} if command.sheddable else {command.queue}
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
            return False  # old figures after a quiet time; another thread is reading new ones
        wait = self._waits.get(queue)
        return wait is not None and wait.count >= MANY

    def _look(self) -> None:
        if time.monotonic() < self._looked_at + POLL_SECONDS or not self._looking.acquire(blocking=False):
            return  # while one thread reads, the others use the figures they have
        try:
            with autocommit_engine().connect() as connection:
                self._waits = waits(connection)
        except DATABASE_ERRORS:
            self._waits = {}  # storing the command will fail, too, with a 503
        finally:
            self._looked_at = time.monotonic()
            self._looking.release()


class TokenBuckets:
    """A token bucket per caller, in this process's memory.

    The usual library, `limits`, starts timer threads or makes every command wait for Redis.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        # At least one token fits, or a limit below one command in ten seconds would refuse everything.
        self._most = max(1.0, per_second * BURST_SECONDS)
        self._lock = threading.Lock()
        self._left: dict[UUID, tuple[float, float]] = {}
        self._forgot_at = 0.0

    def take(self, who: UUID) -> None:
        """Take a token. Raises Rejected(RATE_LIMITED) if the caller's bucket is empty."""
        now = time.monotonic()
        with self._lock:
            if len(self._left) >= REMEMBERED_CALLERS and now - self._forgot_at > 1:
                self._drop_full_buckets(now)
            left, since = self._left.get(who, (self._most, now))
            left = min(self._most, left + (now - since) * self._per_second)
            self._left[who] = (left - 1, now) if left >= 1 else (left, now)
        if left < 1:
            pause = math.ceil((1 - left) / self._per_second)
            raise Rejected(
                Code.RATE_LIMITED,
                f"At most {self._per_second:g} commands a second in the long run.",
                {"retryAfter": pause},
            )

    def _drop_full_buckets(self, now: float) -> None:
        """Delete the buckets that are full again. A caller without a bucket gets a new one, which is full, too."""
        self._forgot_at = now
        full_after = self._most / self._per_second
        self._left = {who: seen for who, seen in self._left.items() if now - seen[1] < full_after}
