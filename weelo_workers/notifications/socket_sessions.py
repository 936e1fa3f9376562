"""Open sockets and acknowledged lines of each user: API processes write them to Redis, pushes read them.

Best effort: if Redis is unavailable or empty, users count as not connected and get pushes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from redis.exceptions import RedisError

from weelo_workers.redis_client import redis


def acked_by(user_id: UUID) -> str:
    """Return the key of the newest seq that this user has acknowledged. It lives as long as the log lines."""
    return f"weelo:acked:{user_id}"


def sockets_of(user_id: UUID) -> str:
    """Return the key of a sorted set: socket (`<process>/<id>`) → when it was opened."""
    return f"weelo:sockets:{user_id}"


def alive(process: str) -> str:
    """Return the key that exists while that API process is alive."""
    return f"weelo:sockets:process:{process}"


def connected(user_ids: Collection[UUID]) -> set[UUID]:
    """Return the users with a socket in an API process that is alive."""
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
    """Return the newest seq that each user has acknowledged; 0 if it is not known."""
    ordered = list(user_ids)
    if not ordered:
        return {}
    try:
        seqs = redis().mget([acked_by(user_id) for user_id in ordered])
    except RedisError:
        return dict.fromkeys(ordered, 0)
    return {user_id: int(seq or 0) for user_id, seq in zip(ordered, seqs, strict=True)}
