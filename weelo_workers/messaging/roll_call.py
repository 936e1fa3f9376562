"""Who is listening to which queue: workers say so every few seconds, and it is forgotten when they stop saying it."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis
from redis.exceptions import RedisError

from weelo_workers.contracts.queues import QUEUES
from weelo_workers.redis_client import redis

PRESENT_EVERY_SECONDS = 2.0
FORGOTTEN_AFTER_SECONDS = 8  # after three missed calls it counts as gone
_PREFIX = "weelo:consumer:"


def present(worker: str, queues: Iterable[str]) -> None:
    """This worker consumes these queues. Silence is harmless: it only makes `weelo doctor` ask questions."""
    try:
        with redis().pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.set(f"{_PREFIX}{queue}:{worker}", 1, ex=FORGOTTEN_AFTER_SECONDS)
            pipe.execute()
    except RedisError:
        pass


def consumers(at: Redis | None = None) -> dict[str, int]:
    """How many workers consume each queue, as this Redis knows. Raises RedisError."""
    keys = [key.removeprefix(_PREFIX) for key in (at or redis()).scan_iter(match=f"{_PREFIX}*", count=1000)]
    return {queue: sum(key.startswith(f"{queue}:") for key in keys) for queue in QUEUES}
