"""Reads Redis streams until the process ends, through any outage of Redis."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from weelo_workers import redis_url
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

BLOCK_SECONDS = 1.0
BATCH = 200
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0)

_START = "0-0"


class StreamReader:
    """Passes each stream's entries, in order, to the stream's handler. Entries from before the start are skipped."""

    def __init__(
        self, handlers: Mapping[str, Callable[[dict[str, str]], None]], on_return: Callable[[], None]
    ) -> None:
        """`on_return` is called after each outage of Redis."""
        self._handlers = handlers
        self._on_return = on_return
        self._places: dict[str, str] = {}
        self._failures = 0

    def read(self, stopped: threading.Event) -> None:
        client = _connect()
        while not stopped.is_set():
            try:
                if self._read_once(client) == 0:
                    self._look_for_new_beginnings(client)
                if self._failures:
                    log.info("Redis is back")
                    self._failures = 0
                    self._on_return()
            except (RedisError, OSError) as error:
                if not self._failures:
                    log.warning("the live stream cannot be read from Redis: %s", error)
                self._failures += 1
                client.connection_pool.disconnect()
                stopped.wait(BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS)) - 1])
            except Exception:
                log.exception("reading the live stream failed")
                stopped.wait(BACKOFF_SECONDS[-1])

    def _read_once(self, client: Redis) -> int:
        """Wait for entries and handle them. Returns their number, 0 if none arrived within BLOCK_SECONDS."""
        if not self._places:
            self._places = {stream: _end(client, stream) for stream in self._handlers}
        # After a failure the first read blocks for 1 ms only, so that `on_return` is called soon.
        block = 1 if self._failures else int(BLOCK_SECONDS * 1000)
        answer: Any = client.xread(dict(self._places), count=BATCH, block=block)  # type: ignore[arg-type]
        for stream, entries in answer:
            for place, entry in entries:
                self._places[stream] = place
                try:
                    self._handlers[stream](entry)
                except Exception:
                    log.exception("an entry of %s could not be read", stream)
        return sum(len(entries) for _, entries in answer)

    def _look_for_new_beginnings(self, client: Redis) -> None:
        """Move back in streams that end before our position.

        Redis was emptied, or a server took over whose clock is behind. Entries with greater ids might never come.
        """
        for stream, place in self._places.items():
            end = _end(client, stream)
            if _order(end) < _order(place):
                self._places[stream] = end


def _connect() -> Redis:
    """Return a connection of its own, because reads block. The timeout detects a hung or half-open connection."""
    return Redis(
        **redis_url.read(settings().redis_url).for_redis(),
        decode_responses=True,
        socket_timeout=BLOCK_SECONDS + 2,
        socket_connect_timeout=1,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


def _end(client: Redis, stream: str) -> str:
    newest: Any = client.xrevrange(stream, count=1)
    return str(newest[0][0]) if newest else _START


def _order(place: str) -> tuple[int, int]:
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number)
