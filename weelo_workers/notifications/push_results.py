"""Counts FCM's answers of the last minutes in Redis, so that all processes see the counts and a restart does not lose them.

Keys: `weelo:pushes:<minute>` (hash: `accepted`, `failed`, `why`: the reason of the last failure). Best effort: while
Redis is unavailable, answers are not counted, and counts cannot be read.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from weelo_workers.redis_client import redis

MINUTES = 5
_PREFIX = "weelo:pushes:"
_TTL_SECONDS = 60 * (MINUTES + 1)


@dataclass(frozen=True, slots=True)
class Recent:
    """FCM's answers of this minute and the four before. `minutes_with_failures`: in how many of them a push failed."""

    accepted: int
    failed: int
    minutes_with_failures: int
    why: str


def record(accepted: int, failed: int, why: str) -> None:
    """Count the answers to a batch of pushes. `why`: the reason of one of those that failed."""
    key = f"{_PREFIX}{_minute()}"
    with suppress(RedisError), redis().pipeline(transaction=False) as pipe:
        pipe.hincrby(key, "accepted", accepted)
        if failed:
            pipe.hincrby(key, "failed", failed)
            pipe.hset(key, "why", why)
        pipe.expire(key, _TTL_SECONDS)
        pipe.execute()


def recent() -> Recent:
    """Return the counts of the last minutes. Raises RedisError."""
    now = _minute()
    with redis().pipeline(transaction=False) as pipe:
        for minute in range(now - MINUTES + 1, now + 1):
            pipe.hgetall(f"{_PREFIX}{minute}")
        found: list[dict[str, Any]] = pipe.execute()
    failed = [int(each.get("failed", 0)) for each in found]
    return Recent(
        accepted=sum(int(each.get("accepted", 0)) for each in found),
        failed=sum(failed),
        minutes_with_failures=sum(count > 0 for count in failed),
        why=next((each["why"] for each in reversed(found) if "why" in each), ""),
    )


def _minute() -> int:
    return int(time.time() // 60)
