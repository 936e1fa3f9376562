"""Who has a socket open, and how far they have said that they have read: what the API processes tell Redis.

Best effort: Redis may be away or empty. Then nobody is listening as far as we know, and is pushed to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from redis.exceptions import RedisError

from weelo_workers.redis_client import redis


def acked_by(user_id: UUID) -> str:
    """The newest seq that this user has acknowledged. It lives as long as the lines that it speaks of."""
    return f"weelo:acked:{user_id}"


def sockets_of(user_id: UUID) -> str:
    """Sorted set: socket (`<process>/<id>`) → when it was opened."""
    return f"weelo:sockets:{user_id}"


def alive(process: str) -> str:
    """Lives while that API process does."""
    return f"weelo:sockets:process:{process}"


def connected(user_ids: Collection[UUID]) -> set[UUID]:
    """Those with a socket in an API process that is alive."""
    ordered = list(user_ids)
    try:
        pipe = redis().pipeline(transaction=False)
        for user_id in ordered:
            pipe.zrange(sockets_of(user_id), 0, -1)
        sockets = pipe.execute()
        processes = {socket.partition("/")[0] for of_one in sockets for socket in of_one}
        there = {process for process in processes if redis().exists(alive(process))}
    except RedisError:
        return set()
    return {
        user_id
        for user_id, of_one in zip(ordered, sockets, strict=True)
        if any(socket.partition("/")[0] in there for socket in of_one)
    }


def acked(user_ids: Collection[UUID]) -> Mapping[UUID, int]:
    """How far each has acknowledged their log; 0 if it is not known."""
    ordered = list(user_ids)
    if not ordered:
        return {}
    try:
        seqs = redis().mget([acked_by(user_id) for user_id in ordered])
    except RedisError:
        return dict.fromkeys(ordered, 0)
    return {user_id: int(seq or 0) for user_id, seq in zip(ordered, seqs, strict=True)}
