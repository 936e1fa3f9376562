"""The hub delivers live events to sockets. Each API process has one, with one event loop.

Events that the live stream loses are found in PostgreSQL's log within seconds (`_reconcile`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from wsproto import WSConnection

from weelo_api.per_process import PerProcess
from weelo_api.stream_reader import stream_reader
from weelo_api.thread_pool import ThreadPool
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.messages import ephemeral
from weelo_api.websocket.session import FrameCounters, SocketSession
from weelo_api.websocket.session_registry import SessionRegistry
from weelo_api.websocket.transport import Disconnect, PeerGone, WebSocketTransport
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.notifications import live_stream
from weelo_workers.notifications.socket_sessions import MAX_SOCKETS_PER_USER, TO_CLOSE, SessionRecord
from weelo_workers.queries.log import newest_seqs

log = logging.getLogger(__name__)

Own = dict[str, Any] | None

RECONCILE_EVERY_SECONDS = 2.0
# Closing all sockets is spread over this many seconds, so that clients do not all reconnect at the same moment.
SPREAD_SECONDS = 0.8
STUCK_SECONDS = 1.2
# The number of threads for the sockets' database queries. After an outage of Redis all sockets query the database. This
# limit leaves connections of the pool for HTTP requests.
QUERY_THREADS = 4
READ_BYTES = 16 * 1024

# An idle socket takes 48 KiB of memory, so this many take about 1 GB.
MAX_SOCKETS = 20_000
MIN_SOCKETS = 50
MAX_UNAUTHENTICATED = 1_000
# The number of open files left for HTTP requests and for connections to the database and Redis.
FILES_FOR_THE_REST = 500


class Hub:
    """Serves all WebSockets of this process."""

    def __init__(self) -> None:
        self.frames = FrameCounters()
        self.registry = SessionRegistry(self._records)
        self._loop = asyncio.new_event_loop()
        self._log_readers = ThreadPool(QUERY_THREADS, thread_name_prefix="hub-log")
        self._loop.set_default_executor(self._log_readers)
        self._buffer = memoryview(bytearray(READ_BYTES))
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        unlimited = files == resource.RLIM_INFINITY
        room = MAX_SOCKETS if unlimited else min(MAX_SOCKETS, files - FILES_FOR_THE_REST)
        self._most_sockets = max(MIN_SOCKETS, room)
        # Only the loop's thread changes these containers. Other threads may copy them, but not iterate over them.
        self._serving: dict[WebSocketTransport, asyncio.Task[None]] = {}
        self._by_user: dict[UUID, tuple[SocketSession, ...]] = {}
        self._here: dict[SocketSession, SessionRecord] = {}
        self._by_record: dict[str, SocketSession] = {}
        self._reconcile_now = threading.Event()
        self._stopped = threading.Event()
        self._closing = False

    def start(self) -> None:
        self._log_readers.start()
        reader = stream_reader()
        reader.subscribe(live_stream.STREAM_KEY, self._on_events)
        reader.subscribe(live_stream.EPHEMERAL, self._on_events)
        reader.subscribe(TO_CLOSE, self._on_close_request)
        reader.call_on_return(self._reconcile_now.set)
        for name, work in (
            ("hub-loop", self._loop.run_forever),
            ("hub-reconciler", self._reconcile),
            ("hub-registry", lambda: self.registry.run(self._stopped)),
        ):
            threading.Thread(target=work, name=name, daemon=True).start()

    @property
    def sockets(self) -> int:
        return len(self._here)

    def has_capacity(self, *, unauthenticated: bool) -> bool:
        """Return whether one more socket may open. Unauthenticated ones have a lower limit."""
        serving = len(self._serving)
        strangers = serving - len(self._here)
        return serving < self._most_sockets and not (unauthenticated and strangers >= MAX_UNAUTHENTICATED)

    def _records(self) -> list[SessionRecord]:
        return list(self._here.values())

    # --- opening and closing sockets ------------------------------------------------------------------------

    def serve(
        self,
        line: socket.socket,
        conversation: WSConnection,
        converse: Callable[[WebSocketTransport], Coroutine[Any, Any, None]],
    ) -> None:
        """Hand a socket to the loop, which runs `converse` and then closes the socket. Callable from any thread."""
        asyncio.run_coroutine_threadsafe(self._serve(line, conversation, converse), self._loop)

    async def _serve(
        self,
        line: socket.socket,
        conversation: WSConnection,
        converse: Callable[[WebSocketTransport], Coroutine[Any, Any, None]],
    ) -> None:
        line.setblocking(False)
        transport = WebSocketTransport(conversation, self._buffer)
        try:
            await self._loop.connect_accepted_socket(lambda: transport, line)
        except OSError:
            line.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._serving[transport] = task
        try:
            if self._closing:
                raise Disconnect(CloseCode.GOING_AWAY, "the server is restarting")  # noqa: TRY301 (one place sends close frames)
            await converse(transport)
        except Disconnect as farewell:
            await transport.close(farewell.code, farewell.reason)
        except PeerGone:
            pass
        except Exception:
            log.exception("a socket failed")
            await transport.close(CloseCode.INTERNAL_ERROR, "something went wrong on our side")
        finally:
            transport.abort()
            del self._serving[transport]

    @contextmanager
    def registered(self, connection: SocketSession) -> Iterator[None]:
        """Deliver live events to this session while the block runs.

        If the user has more than five sockets, close the oldest.
        """
        user_id = connection.caller.id
        here = (*self._by_user.get(user_id, ()), connection)
        self._by_user[user_id] = here
        record = self._here[connection] = self.registry.add(user_id)
        self._by_record[record.id] = connection
        # The registry in Redis enforces the limit over all processes. This check enforces it within this process, also
        # without Redis.
        for oldest in here[:-MAX_SOCKETS_PER_USER]:
            oldest.transport.request_close(CloseCode.TOO_MANY_SOCKETS, "too many sockets")
        try:
            yield
        finally:
            left = tuple(other for other in self._by_user[user_id] if other is not connection)
            if left:
                self._by_user[user_id] = left
            else:
                del self._by_user[user_id]
            del self._here[connection], self._by_record[record.id]
            self.registry.remove(record)

    def close_all(self) -> None:
        """Close every socket with code 1001, spread over SPREAD_SECONDS.

        Return when all are closed, after 2.5 s at the latest.
        """
        self._closing = True
        closing = asyncio.run_coroutine_threadsafe(self._close_all(), self._loop)
        with suppress(TimeoutError):
            closing.result(SPREAD_SECONDS + STUCK_SECONDS + 0.5)
        self._stopped.set()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _close_all(self) -> None:
        serving = dict(self._serving)
        began = time.monotonic()
        for number, transport in enumerate(random.sample(list(serving), len(serving)), start=1):
            transport.request_close(CloseCode.GOING_AWAY, "the server is restarting")
            if (early := began + SPREAD_SECONDS * number / len(serving) - time.monotonic()) > 0.005:
                await asyncio.sleep(early)
        if serving:
            await asyncio.wait(serving.values(), timeout=STUCK_SECONDS)
        for transport in list(self._serving):
            transport.abort()

    # --- live events ----------------------------------------------------------------------------------------

    def _on_events(self, items: Sequence[dict[str, Any]]) -> None:
        self._loop.call_soon_threadsafe(self._spread, items)

    def _spread(self, items: Sequence[dict[str, Any]]) -> None:
        for item in items:
            for user_id, (seq, own) in item["to"].items():
                for connection in self._by_user.get(UUID(user_id), ()):
                    _deliver(connection, item, seq, own)

    def _on_close_request(self, record_id: str) -> None:
        if connection := self._by_record.get(record_id):
            self._loop.call_soon_threadsafe(
                connection.transport.request_close, CloseCode.TOO_MANY_SOCKETS, "too many sockets"
            )

    def _reconcile(self) -> None:
        """Compare each socket's newest sent line with its user's log, periodically and after each outage of Redis."""
        database_unavailable = False
        while not self._stopped.is_set():
            self._reconcile_now.wait(RECONCILE_EVERY_SECONDS)
            self._reconcile_now.clear()
            if not (users := list(self._by_user)):
                continue
            try:
                with autocommit_engine().connect() as connection:
                    newest = newest_seqs(connection, users)
                database_unavailable = False
            except DATABASE_ERRORS as error:
                if not database_unavailable:
                    log.warning("sockets cannot be compared with the log: %s", type(error).__name__)
                database_unavailable = True
                continue
            except Exception:
                log.exception("comparing sockets with the log failed")
                continue
            self._loop.call_soon_threadsafe(self._note_newest, newest)

    def _note_newest(self, newest: dict[UUID, int]) -> None:
        for user_id, seq in newest.items():
            for connection in self._by_user.get(user_id, ()):
                connection.note_newest(seq)


def _deliver(connection: SocketSession, item: dict[str, Any], seq: int | None, own: Own) -> None:
    if seq is None:
        # Only an ephemeral event, such as a truck's position, has no `seq`.
        connection.send_ephemeral(ephemeral(item["event"], {**item["data"], **(own or {})}))
    else:
        connection.receive(seq, item, own)


def _start() -> Hub:
    hub = Hub()
    hub.start()
    return hub


hub = PerProcess(_start)
"""Return this process's hub. The first call starts it."""
