"""The sockets of each user in all API processes, and the newest `seq` that each user has acknowledged, in Redis.

One thread writes in batches, so that no socket waits for Redis. Writes may be lost: all open sockets are written again
every few seconds.

Keys: `weelo:acked:<user id>` (newest acknowledged seq; decides about pushes and expires as the log does),
`weelo:sockets:<user id>` (sorted set: socket → time of opening), `weelo:sockets:process:<process>` (exists while that
API process runs), `weelo:sockets:to_close` (stream: sockets beyond the limit per user).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from redis.client import Pipeline
from redis.exceptions import RedisError

from weelo_workers.notifications.socket_sessions import acked_by, alive, sockets_of
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

TO_CLOSE = "weelo:sockets:to_close"
MAX_SOCKETS_PER_USER = 5

EVERY_SECONDS = 0.25
BATCH_WINDOW_SECONDS = 0.02  # sockets opened and closed within this time are written together
ANNOUNCE_EVERY_SECONDS = 5.0
PROCESS_TTL_SECONDS = 15
USER_TTL_SECONDS = 60
KEEP_TO_CLOSE = 1_000
MAX_REMEMBERED = 10_000  # sockets closed while Redis is away; entries of further ones expire in Redis

# KEYS: the user's acked. ARGV: seq, seconds to live.
_ACK = """
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
"""

# KEYS: the user's sockets, to_close.
# ARGV: socket, opened at, most of one user, prefix of processes, seconds to live, entries to keep.
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
    """One open socket. `id` is unique over all processes."""

    id: str
    user_id: UUID
    opened_at: float = field(default_factory=time.time)


class SessionRegistry:
    def __init__(self, present: Callable[[], Iterable[SessionRecord]]) -> None:
        """`present`: the sockets that are open in this process."""
        self._present = present
        self._process = uuid4().hex
        self._lock = threading.Lock()
        self._somebody_moved = threading.Event()
        self._arrived: list[SessionRecord] = []
        self._left: list[SessionRecord] = []
        self._acked: dict[UUID, int] = {}
        self._announce_at = 0.0
        self._away = False

    def add(self, user_id: UUID) -> SessionRecord:
        record = SessionRecord(f"{self._process}/{uuid4().hex}", user_id)
        with self._lock:
            self._arrived.append(record)
        self._somebody_moved.set()
        return record

    def remove(self, record: SessionRecord) -> None:
        with self._lock:
            self._left.append(record)
        self._somebody_moved.set()

    def ack(self, user_id: UUID, seq: int) -> None:
        with self._lock:
            self._acked[user_id] = max(seq, self._acked.get(user_id, 0))

    def run(self, stopped: threading.Event) -> None:
        """Write changes to Redis until stopped.

        Opened and closed sockets are written at once, so that a phone gets no push for what its app already shows.
        """
        while True:
            self._somebody_moved.wait(EVERY_SECONDS)
            if stopped.wait(BATCH_WINDOW_SECONDS):
                return
            self._somebody_moved.clear()
            try:
                self.publish()
                self._away = False
            except RedisError as error:
                if not self._away:
                    log.warning("the open sockets cannot be written to Redis: %s", error)
                self._away = True
                stopped.wait(EVERY_SECONDS)  # many clients that reconnect must not cause an attempt each
            except Exception:
                log.exception("writing the open sockets to Redis failed")
                stopped.wait(EVERY_SECONDS)

    def publish(self) -> None:
        """Write all changes since the last call. Raises RedisError; the next call then writes them again."""
        with self._lock:
            arrived, left, acked = self._arrived, self._left, self._acked
            self._arrived, self._left, self._acked = [], [], {}
        now = time.monotonic()
        if now >= self._announce_at:
            self._announce_at = now + ANNOUNCE_EVERY_SECONDS
            arrived = [*arrived, *self._present()]  # new sockets may not be in `present` yet
        elif not (arrived or left or acked):
            return
        try:
            pipe = redis().pipeline(transaction=False)
            pipe.set(alive(self._process), 1, ex=PROCESS_TTL_SECONDS)
            # Closed sockets come first: otherwise a client that reconnects would exceed the limit for a moment.
            for record in left:
                pipe.zrem(sockets_of(record.user_id), record.id)
            for record in set(arrived) - set(left):
                _announce(pipe, record)
            for user_id, seq in acked.items():
                pipe.eval(_ACK, 1, acked_by(user_id), seq, settings().event_retention_days * 86_400)
            pipe.execute()
        except RedisError:
            for user_id, seq in acked.items():
                self.ack(user_id, seq)
            with self._lock:
                # Otherwise they would count as open for as long as the user has another socket.
                self._left = [*left, *self._left][-MAX_REMEMBERED:]
            self._announce_at = 0.0  # writes all open sockets, and so the new ones
            raise


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
