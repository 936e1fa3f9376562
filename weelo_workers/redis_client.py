"""This process's connection to Redis (or Valkey), with a limit on every wait."""

from __future__ import annotations

from functools import lru_cache

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from weelo_workers.settings import settings


def connect(url: str) -> Redis:
    """A client that gives up quickly: Redis only carries news and nearness, and nobody should wait for it long."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=2,
        socket_connect_timeout=1,
        socket_keepalive=True,
        health_check_interval=10,
        # One more try replaces a connection that a restart of Redis has broken.
        retry=Retry(NoBackoff(), 1),
    )


@lru_cache(maxsize=1)
def redis() -> Redis:
    return connect(settings().redis_url)
