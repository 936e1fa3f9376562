"""The one reader of Redis streams in each API process. The hub, waiting requests and the console subscribe to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from weelo_api.per_process import PerProcess
from weelo_workers import redis_url
from weelo_workers.backoff import backoff
from weelo_workers.logs.outages import Outage
from weelo_workers.notifications import live_stream, socket_sessions
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

BLOCK_SECONDS = 1.0
BATCH = 200
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 1.0

_START = "0-0"


# The decoder of each stream. An entry is decoded once for all subscribers.
_DECODERS: Mapping[str, Callable[[dict[str, str]], Any]] = {
    live_stream.STREAM_KEY: live_stream.decode,
    live_stream.EPHEMERAL: live_stream.decode,
    socket_sessions.TO_CLOSE: socket_sessions.decode_close_request,
}


class StreamReader:
    """Passes each stream's entries, decoded and in order, to its subscribers. Entries from before the start are skipped."""

    def __init__(self) -> None:
        # These lists are replaced and never changed in place, because the reader's thread iterates over them.
        self._handlers: dict[str, tuple[Callable[[Any], None], ...]] = dict.fromkeys(_DECODERS, ())
        self._on_return: tuple[Callable[[], None], ...] = ()
        self._places: dict[str, str] = {}
        self._failures = 0
        self._outage = Outage("Redis (live stream)")

    def subscribe(self, stream: str, handler: Callable[[Any], None]) -> None:
        """Call `handler` from now on with each decoded entry of this stream, in the reader's thread."""
        self._handlers[stream] = (*self._handlers[stream], handler)

    def call_on_return(self, function: Callable[[], None]) -> None:
        """Call `function` after each outage of Redis."""
        self._on_return = (*self._on_return, function)

    def read(self, stopped: threading.Event) -> None:
        """Read entries until `stopped` is set, and continue after outages of Redis."""
        client = _connect()
        while not stopped.is_set():
            try:
                if self._read_once(client) == 0:
                    self._follow_restarted_streams(client)
                if self._failures:
                    self._outage.answered()
                    self._failures = 0
                    for function in self._on_return:
                        function()
            except (RedisError, OSError) as error:
                self._outage.failed(error)
                self._failures += 1
                client.connection_pool.disconnect()
                stopped.wait(
                    backoff(self._failures, first=FIRST_PAUSE_SECONDS, longest=LONGEST_PAUSE_SECONDS)
                )
            except Exception:
                log.exception("reading the live stream failed")
                stopped.wait(LONGEST_PAUSE_SECONDS)

    def _read_once(self, client: Redis) -> int:
        """Wait for entries and handle them. Returns their number, 0 if none arrived within BLOCK_SECONDS."""
        if not self._places:
            self._places = {stream: _end(client, stream) for stream in _DECODERS}
        # After a failure the first read blocks for 1 ms only, so that `_on_return` is called soon.
        block = 1 if self._failures else int(BLOCK_SECONDS * 1000)
        answer: Any = client.xread(dict(self._places), count=BATCH, block=block)  # type: ignore[arg-type]
        for stream, entries in answer:
            for place, entry in entries:
                self._places[stream] = place
                self._pass_on(stream, entry)
        return sum(len(entries) for _, entries in answer)

    def _pass_on(self, stream: str, entry: dict[str, str]) -> None:
        try:
            decoded = _DECODERS[stream](entry)
            for handler in self._handlers[stream]:
                handler(decoded)
        except Exception:
            log.exception("an entry of %s could not be read", stream)

    def _follow_restarted_streams(self, client: Redis) -> None:
        """Move our position in a stream to the stream's end, if the stream ends before this position.

        This happens after Redis was emptied, or after a failover to a server whose clock is behind. Otherwise the
        reader would wait for ids greater than the old position, which might never come.
        """
        for stream, place in self._places.items():
            end = _end(client, stream)
            if _order(end) < _order(place):
                self._places[stream] = end


def _connect() -> Redis:
    """Return a connection that only the reader uses, because its reads block.

    The timeout detects a hung or half-open connection.
    """
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


def _start() -> StreamReader:
    reader = StreamReader()
    threading.Thread(target=reader.read, args=(threading.Event(),), name="stream-reader", daemon=True).start()
    return reader


stream_reader = PerProcess(_start)
"""Return this process's reader. The first call starts it."""
