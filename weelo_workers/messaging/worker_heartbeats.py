"""Heartbeats of workers: Redis keys with the queues that a worker consumes. A worker that runs renews its keys."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError

from weelo_workers.contracts.queues import QUEUES, Queue
from weelo_workers.redis_client import redis

REPORT_EVERY_SECONDS = 2.0
EXPIRES_AFTER_SECONDS = 8  # A worker counts as gone after three missed reports.
_PREFIX = "weelo:consumer:"
_CONSUMED = "weelo:consumed:"
CONSUMPTION_TTL_SECONDS = 300  # A start of `weelo up`, which reads the records of consumption, is shorter.

NO_COMMAND = UUID(int=0)
"""An id that no mailbox row has. A message with it has no effect, but it proves that its queue is consumed."""


def report(worker: str, queues: Iterable[str]) -> None:
    """Report that this worker consumes these queues. A report that fails is harmless: the next one follows soon."""
    try:
        with redis().pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.set(f"{_PREFIX}{queue}:{worker}", 1, ex=EXPIRES_AFTER_SECONDS)
            pipe.execute()
    except RedisError:
        pass


def consumers(at: Redis | None = None) -> dict[str, int]:
    """Return how many workers consume each queue, by the reports in this Redis. Raises RedisError."""
    keys = [key.removeprefix(_PREFIX) for key in (at or redis()).scan_iter(match=f"{_PREFIX}*", count=1000)]
    return {queue: sum(key.startswith(f"{queue}:") for key in keys) for queue in QUEUES}


def record_consumption(queue: Queue) -> None:
    """Record that a worker has consumed a message of this queue, and that the database answered it.

    `weelo up` waits for this record of each queue.
    """
    with suppress(RedisError):
        redis().set(f"{_CONSUMED}{queue}", 1, ex=CONSUMPTION_TTL_SECONDS)


def queues_consumed(at: Redis | None = None) -> set[Queue]:
    """Return the queues with a record of `record_consumption`. Raises RedisError."""
    return {queue for queue in QUEUES if (at or redis()).exists(f"{_CONSUMED}{queue}")}


def clear_consumption(at: Redis) -> None:
    """Delete the records of consumption that an earlier run has left. Raises RedisError."""
    at.delete(*(f"{_CONSUMED}{queue}" for queue in QUEUES))
