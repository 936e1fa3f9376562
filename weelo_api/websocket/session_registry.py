"""Writes this process's open sockets, and what their users have acknowledged, to Redis (socket_sessions.py).

One thread writes in batches, so that no socket waits for Redis. Writes may be lost: all open sockets are written again
every few seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from uuid import UUID, uuid4

from redis.exceptions import RedisError

from weelo_workers.notifications import socket_sessions
from weelo_workers.notifications.socket_sessions import SessionRecord

log = logging.getLogger(__name__)

EVERY_SECONDS = 0.25
BATCH_WINDOW_SECONDS = 0.02  # sockets opened and closed within this time are written together
ANNOUNCE_EVERY_SECONDS = 5.0
# After an outage of Redis, at most this many sockets that were closed during it are removed from Redis. The entries of
# the other closed sockets expire in Redis.
MAX_REMEMBERED = 10_000


class SessionRegistry:
    def __init__(self, present: Callable[[], Iterable[SessionRecord]]) -> None:
        """Make a registry of the sockets of this process. `present`: a function that returns the open sockets."""
        self._present = present
        self._process = uuid4().hex
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._opened: list[SessionRecord] = []
        self._closed: list[SessionRecord] = []
        self._acked: dict[UUID, int] = {}
        self._announce_at = 0.0
        self._redis_unavailable = False

    def add(self, user_id: UUID) -> SessionRecord:
        record = socket_sessions.new_record(self._process, user_id)
        with self._lock:
            self._opened.append(record)
        self._changed.set()
        return record

    def remove(self, record: SessionRecord) -> None:
        with self._lock:
            self._closed.append(record)
        self._changed.set()

    def ack(self, user_id: UUID, seq: int) -> None:
        with self._lock:
            self._acked[user_id] = max(seq, self._acked.get(user_id, 0))

    def run(self, stopped: threading.Event) -> None:
        """Write changes to Redis until stopped.

        Opened and closed sockets are written at once, because they determine whether a push to their user is delayed.
        """
        while True:
            self._changed.wait(EVERY_SECONDS)
            if stopped.wait(BATCH_WINDOW_SECONDS):
                return
            self._changed.clear()
            try:
                self.publish()
                self._redis_unavailable = False
            except RedisError as error:
                if not self._redis_unavailable:
                    log.warning("the open sockets cannot be written to Redis: %s", error)
                self._redis_unavailable = True
                # Without this pause each client that reconnects would cause another attempt to write.
                stopped.wait(EVERY_SECONDS)
            except Exception:
                log.exception("writing the open sockets to Redis failed")
                stopped.wait(EVERY_SECONDS)

    def publish(self) -> None:
        """Write all changes since the last call. Raises RedisError; the next call then writes them again."""
        with self._lock:
            opened, closed, acked = self._opened, self._closed, self._acked
            self._opened, self._closed, self._acked = [], [], {}
        now = time.monotonic()
        if now >= self._announce_at:
            self._announce_at = now + ANNOUNCE_EVERY_SECONDS
            # `_present()` may not contain new sockets yet, so those in `opened` are written as well.
            opened = [*opened, *self._present()]
        elif not (opened or closed or acked):
            return
        try:
            socket_sessions.write(self._process, opened=set(opened) - set(closed), closed=closed, acked=acked)
        except RedisError:
            for user_id, seq in acked.items():
                self.ack(user_id, seq)
            with self._lock:
                # The next call has to remove the closed sockets from Redis. If it did not, they would stay there, and
                # count as open, for as long as their user has another socket.
                self._closed = [*closed, *self._closed][-MAX_REMEMBERED:]
            self._announce_at = 0.0  # this write has failed, so the next call writes all open sockets
            raise
