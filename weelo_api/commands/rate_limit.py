"""A rate limit per caller.

A command refused here was not stored: the response is 429 with `Retry-After`, and a retry is safe.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from uuid import UUID

from flask import g

from weelo_api.per_process import PerProcess
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.settings import settings

# After a quiet time a caller may send this many seconds' worth of commands at once.
BURST_SECONDS = 10
REMEMBERED_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `quota` requests of one caller within `seconds`."""

    name: str
    quota: int
    seconds: int

    def __str__(self) -> str:
        return f'"{self.name}";q={self.quota};w={self.seconds}'

    def remaining(self, count: int, seconds: int) -> str:
        """Return the header `RateLimit`: it says that `count` requests are left, and when the quota is full again."""
        return f'"{self.name}";r={count};t={seconds}'


class TokenBuckets:
    """A token bucket per caller, in this process's memory.

    The usual library, `limits`, is not used: it starts timer threads or makes every command wait for Redis.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        # A bucket holds at least one token. Otherwise a limit below one command in ten seconds would refuse everything.
        self._most = max(1.0, per_second * BURST_SECONDS)
        self._lock = threading.Lock()
        self._left: dict[UUID, tuple[float, float]] = {}
        self._forgot_at = 0.0

    def take(self, caller_id: UUID) -> None:
        """Take a token. Raises Rejected(RATE_LIMITED) if the caller's bucket is empty."""
        now = time.monotonic()
        with self._lock:
            if len(self._left) >= REMEMBERED_CALLERS and now - self._forgot_at > 1:
                self._drop_full_buckets(now)
            left, since = self._left.get(caller_id, (self._most, now))
            left = min(self._most, left + (now - since) * self._per_second)
            self._left[caller_id] = (left - 1, now) if left >= 1 else (left, now)
        if left < 1:
            pause = math.ceil((1 - left) / self._per_second)
            raise Rejected(
                Code.RATE_LIMITED,
                f"At most {self._per_second:g} commands a second in the long run.",
                {"retryAfter": pause},
            )

    @property
    def policy(self) -> Policy:
        """The limit as clients see it, in whole numbers."""
        return Policy("commands", math.floor(self._most), math.ceil(self._most / self._per_second))

    def left(self, caller_id: UUID) -> tuple[int, int]:
        """Return how many tokens the caller has, and in how many seconds their bucket is full."""
        with self._lock:
            left, since = self._left.get(caller_id, (self._most, 0.0))
        left = min(self._most, left + (time.monotonic() - since) * self._per_second)
        return math.floor(left), math.ceil((self._most - left) / self._per_second)

    def _drop_full_buckets(self, now: float) -> None:
        """Delete the buckets that are full again. No limit changes, because a new bucket begins full."""
        self._forgot_at = now
        full_after = self._most / self._per_second
        self._left = {caller_id: seen for caller_id, seen in self._left.items() if now - seen[1] < full_after}


buckets = PerProcess(lambda: TokenBuckets(settings().commands_per_second))


def take_token(user: Caller) -> None:
    """Take a token for a command of this user. Raises Rejected(RATE_LIMITED)."""
    try:
        buckets().take(user.id)
    except Rejected:
        # A token may be added before the headers are written. Without this flag the headers would contradict the 429.
        g.refused_by_bucket = True
        raise
