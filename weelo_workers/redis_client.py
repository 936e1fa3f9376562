"""This process's connection to Redis (or Valkey), with a limit on every wait."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError, TimeoutError as RedisTimeoutError
from redis.retry import Retry

from weelo_workers import redis_url
from weelo_workers.settings import settings


class FailFastRedis(Redis):
    """Leaves a Redis that failed alone for a moment: with a hung one each call would cost its time-out again."""

    PAUSE_SECONDS = 3.0
    _away_until = 0.0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if time.monotonic() < self._away_until:
            raise RedisConnectionError("Redis did not answer a moment ago")
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except (RedisConnectionError, RedisTimeoutError):
            self._away_until = time.monotonic() + self.PAUSE_SECONDS
            raise


def connect(url: str) -> Redis:
    """A client that gives up quickly: Redis only carries news and nearness, and nobody should wait for it long."""
    return FailFastRedis(
        **redis_url.read(url).for_redis(),
        decode_responses=True,
        socket_timeout=1,
        socket_connect_timeout=1,
        socket_keepalive=True,
        # One more try replaces a connection that a restart of Redis has broken; a time-out is final.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


@lru_cache(maxsize=1)
def redis() -> Redis:
    return connect(settings().redis_url)
