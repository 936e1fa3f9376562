"""This process's client of Redis (or Valkey), with a time limit on every call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
    RedisError,
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from weelo_workers import redis_url
from weelo_workers.logs.outages import Outage
from weelo_workers.settings import settings


class FailFastRedis(Redis):
    """A circuit breaker: after a failure, calls fail at once for PAUSE_SECONDS instead of waiting for a time-out each."""

    PAUSE_SECONDS = 3.0
    _open_until = 0.0
    # All clients of this process share this object, because they use the same Redis.
    _outage = Outage("Redis")

    def execute_command(self, *args: Any, **options: Any) -> Any:
        with self.breaker():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:  # noqa: ARG002 (redis-py's signature)
        return FailFastPipeline(self, transaction=transaction)

    @contextmanager
    def breaker(self) -> Iterator[None]:
        """Raise RedisConnectionError at once if a call has failed recently.

        If the block fails, calls fail for the next PAUSE_SECONDS.
        """
        if time.monotonic() < self._open_until:
            raise RedisConnectionError("Redis did not answer a moment ago")
        try:
            yield
        except (RedisConnectionError, RedisTimeoutError) as error:
            self._open_until = time.monotonic() + self.PAUSE_SECONDS
            self._outage.failed(error)
            raise
        self._outage.answered()


class FailFastPipeline(Pipeline):
    """A pipeline of a FailFastRedis, with the circuit breaker of that client."""

    def __init__(self, client: FailFastRedis, *, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with self._client.breaker():
            return super().execute(raise_on_error)


def connect(url: str) -> Redis:
    """Return a client whose calls time out after a second.

    No caller needs to wait longer, because the system works without the data in Redis.
    """
    return FailFastRedis(
        **redis_url.read(url).for_redis(),
        decode_responses=True,
        socket_timeout=1,
        socket_connect_timeout=1,
        socket_keepalive=True,
        # One retry replaces a connection that a restart of Redis has broken. A time-out is not retried.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


def reason(problem: RedisError) -> str:
    """Return the text of an error. Redis's text about HELLO is replaced: it means that the password is missing."""
    if str(problem).startswith("HELLO must be called with the client already authenticated"):
        return "it requires a password; write redis://:password@host:6379/0"
    return str(problem)


@lru_cache(maxsize=1)
def redis() -> Redis:
    return connect(settings().redis_url)
