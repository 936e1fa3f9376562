"""Open sockets and acknowledged lines of each user in Redis: API processes write them, pushes read them.

Keys: `weelo:acked:<user id>` (newest acknowledged seq: lines up to it get no push; kept for as long as log lines are),
`weelo:sockets:<user id>` (sorted set: socket → time of opening), `weelo:sockets:process:<process>` (exists while that
API process runs), `weelo:sockets:to_close` (stream: sockets beyond the limit per user).

Best effort: if Redis is unavailable or empty, users count as not connected and get pushes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from redis.client import Pipeline
from redis.exceptions import RedisError

from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

TO_CLOSE = "weelo:sockets:to_close"
MAX_SOCKETS_PER_USER = 5

PROCESS_TTL_SECONDS = 15
USER_TTL_SECONDS = 60
KEEP_TO_CLOSE = 1_000

# Stores the newest seq that a user has acknowledged. KEYS: the user's key `weelo:acked:…`. ARGV: seq, seconds to live.
_ACK = """
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
"""

# Stores an open socket of a user. Removes sockets of ended processes, and the oldest sockets beyond the limit, which
# are also appended to TO_CLOSE. KEYS: the user's key `weelo:sockets:…`, TO_CLOSE. ARGV: socket, time of opening, limit
# per user, prefix of the processes' keys, seconds to live, entries to keep.
_ANNOUNCE = """
for _, socket in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('EXISTS', ARGV[4] .. string.match(socket, '^[^/]+')) == 0 then
    redis.call('ZREM', KEYS[1], socket)
  end
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[5])
for _, socket in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1 - ARGV[3])) do
  redis.call('ZREM', KEYS[1], socket)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'socket', socket)
end
"""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One open socket. `id` is unique over all processes: `<process>/<id>`."""

    id: str
    user_id: UUID
    opened_at: float = field(default_factory=time.time)


def new_record(process: str, user_id: UUID) -> SessionRecord:
    return SessionRecord(f"{process}/{uuid4().hex}", user_id)


# --- keys -----------------------------------------------------------------------------------------------


def acked_by(user_id: UUID) -> str:
    """Return the key of the newest seq that this user has acknowledged. Redis keeps it for as long as log lines are kept."""
    return f"weelo:acked:{user_id}"


def sockets_of(user_id: UUID) -> str:
    """Return the key of a sorted set: socket (`<process>/<id>`) → when it was opened."""
    return f"weelo:sockets:{user_id}"


def alive(process: str) -> str:
    """Return the key that exists while that API process is alive."""
    return f"weelo:sockets:process:{process}"


# --- written by API processes ---------------------------------------------------------------------------


def write(
    process: str,
    *,
    opened: Iterable[SessionRecord],
    closed: Iterable[SessionRecord],
    acked: Mapping[UUID, int],
) -> None:
    """Write the changes of this API process, and renew the key that marks it as alive. Raises RedisError.

    Sockets of a user beyond MAX_SOCKETS_PER_USER, oldest first, are removed and appended to TO_CLOSE.
    """
    pipe = redis().pipeline(transaction=False)
    pipe.set(alive(process), 1, ex=PROCESS_TTL_SECONDS)
    # Closed sockets come first: otherwise a client that reconnects would exceed the limit for a moment.
    for record in closed:
        pipe.zrem(sockets_of(record.user_id), record.id)
    for record in opened:
        _announce(pipe, record)
    for user_id, seq in acked.items():
        pipe.eval(_ACK, 1, acked_by(user_id), seq, settings().event_retention_days * 86_400)
    pipe.execute()


def _announce(pipe: Pipeline, record: SessionRecord) -> None:
    pipe.eval(
        _ANNOUNCE,
        2,
        sockets_of(record.user_id),
        TO_CLOSE,
        record.id,
        record.opened_at,
        MAX_SOCKETS_PER_USER,
        alive(""),
        USER_TTL_SECONDS,
        KEEP_TO_CLOSE,
    )


def decode_close_request(entry: dict[str, str]) -> str:
    """Return the id of the session record that an entry of TO_CLOSE names."""
    return entry["socket"]


def forget(user_id: UUID) -> None:
    """Remove what is stored about the user's sockets and acknowledged lines. Raises RedisError."""
    redis().delete(acked_by(user_id), sockets_of(user_id))


# --- read by pushes and explanations --------------------------------------------------------------------


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
    """Return the newest seq that each user has acknowledged (0: none). Empty if Redis does not answer."""
    ordered = list(user_ids)
    if not ordered:
        return {}
    try:
        seqs = redis().mget([acked_by(user_id) for user_id in ordered])
    except RedisError:
        return {}
    return {user_id: int(seq or 0) for user_id, seq in zip(ordered, seqs, strict=True)}
