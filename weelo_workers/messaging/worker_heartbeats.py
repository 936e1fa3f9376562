"""Heartbeats of workers: Redis keys with the queues that a worker consumes. A worker that runs renews its keys.

The heartbeats are in Redis, because a worker that cannot reach Redis consumes nothing anyway. `weelo:consumers` is the
set of all keys that workers have written lately, so that a reader need not search all keys of Redis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from uuid import UUID

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from weelo_workers.contracts.queues import QUEUES, Queue
from weelo_workers.redis_client import redis

REPORT_EVERY_SECONDS = 2.0
EXPIRES_AFTER_SECONDS = 8  # A worker counts as gone after three missed reports.
_PREFIX = "weelo:consumer:"
_INDEX = "weelo:consumers"
_CONSUMED = "weelo:consumed:"
CONSUMPTION_TTL_SECONDS = 86_400
"""A record of consumption expires after this time. So its age is this time less the key's remaining time to live, and
no clocks are compared."""

NO_COMMAND = UUID(int=0)
"""An id that no mailbox row has. A message with it has no effect, but it proves that its queue is consumed."""


@dataclass(frozen=True, slots=True)
class Consumption:
    """What Redis holds about the consumption of one queue."""

    workers: int
    """Workers that report that they consume the queue."""
    held_seconds: float
    """How long a worker has held a message of the queue that no child process accepts. 0 if there is none."""
    consumed_seconds: float
    """The time since a message of the queue was last consumed. Infinite if there is no record."""


def report(
    worker: str,
    queues: Iterable[Queue],
    held: Mapping[Queue, float] | None = None,
    accepted: Iterable[Queue] = (),
) -> None:
    """Report that this worker consumes these queues. A report that fails is harmless: the next one follows soon.

    `held`: for each queue, how long (seconds) a message has waited for a child process. `accepted`: the queues from
    which messages were accepted since the last report.
    """
    try:
        with redis().pipeline(transaction=False) as pipe:
            for queue in queues:
                member = f"{queue}:{worker}"
                pipe.set(
                    f"{_PREFIX}{member}", f"{(held or {}).get(queue, 0.0):.1f}", ex=EXPIRES_AFTER_SECONDS
                )
                pipe.sadd(_INDEX, member)
            for queue in accepted:
                # This renews a record of consumption only if there is one. `record_consumption` writes the first one,
                # when the database has answered the worker as well.
                pipe.set(f"{_CONSUMED}{queue}", 1, ex=CONSUMPTION_TTL_SECONDS, xx=True)
            pipe.execute()
    except RedisError:
        pass


def consumption(at: Redis | None = None) -> dict[Queue, Consumption]:
    """Return what this Redis holds about the consumption of each queue. Raises RedisError."""
    client = at or redis()
    with client.pipeline(transaction=False) as pipe:
        pipe.smembers(_INDEX)
        for queue in QUEUES:
            pipe.pttl(f"{_CONSUMED}{queue}")
        members, *left = pipe.execute()
    names = sorted(members)
    values = client.mget([f"{_PREFIX}{name}" for name in names]) if names else []
    reports = {name: float(value) for name, value in zip(names, values, strict=True) if value is not None}
    if gone := [name for name in names if name not in reports]:
        # Names of workers without a current report are removed. A worker that still runs adds its name again with its
        # next report. If Redis refuses writes, the names remain, which is harmless.
        with suppress(ResponseError):
            client.srem(_INDEX, *gone)
    return {
        queue: Consumption(
            workers=sum(name.startswith(f"{queue}:") for name in reports),
            held_seconds=max(
                (held for name, held in reports.items() if name.startswith(f"{queue}:")), default=0.0
            ),
            consumed_seconds=max(0.0, CONSUMPTION_TTL_SECONDS - milliseconds / 1_000)
            if milliseconds > 0
            else inf,
        )
        for queue, milliseconds in zip(QUEUES, left, strict=True)
    }


def consumers(at: Redis | None = None) -> dict[Queue, int]:
    """Return how many workers consume each queue, according to the reports in this Redis. Raises RedisError."""
    return {queue: each.workers for queue, each in consumption(at).items()}


def record_consumption(queue: Queue) -> None:
    """Record that a worker has consumed a message of this queue, and that the database answered the worker.

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
