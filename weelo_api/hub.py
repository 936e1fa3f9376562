"""Where news meets sockets: one hub per API process, with one event loop for all sockets and one reader of Redis.

News is only news. Whatever it loses, the healer finds in PostgreSQL's log within seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from wsproto import WSConnection

from weelo_api.attendance import MAX_SOCKETS_PER_USER, TO_CLOSE, Attendance, Seat
from weelo_api.channel import GOING_AWAY, INTERNAL_ERROR, TOO_MANY_SOCKETS, Channel, Farewell, Gone
from weelo_api.connection import Connection, Frames
from weelo_api.frames import unlogged
from weelo_api.outcomes import Outcomes
from weelo_api.stream_reader import StreamReader
from weelo_workers.models.engine import DATABASE_ERRORS, autocommitting
from weelo_workers.notifications import news
from weelo_workers.queries.log import newest_seqs

log = logging.getLogger(__name__)

Own = dict[str, Any] | None

HEAL_EVERY_SECONDS = 2.0
# Closing all at the same instant would have all of them reconnect at the same instant.
SPREAD_SECONDS = 0.8
STUCK_SECONDS = 1.2
# Where sockets' questions to the database wait. When all have missed something (Redis was away), they take turns
# instead of emptying the pool.
ASKING_THREADS = 4
READ_BYTES = 16 * 1024

# At 48 KiB each.
MAX_SOCKETS = 20_000
FEWEST_SOCKETS = 50
MAX_STRANGERS = 1_000
FILES_FOR_THE_REST = 500  # requests, the database, Redis


class Hub:
    """`frames` and `sockets` are for the metrics, `closing` for whoever might wait long."""

    def __init__(self) -> None:
        self.closing = False
        self.frames = Frames()
        self.attendance = Attendance(self._seats)
        self.outcomes = Outcomes()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="hub-log"))
        self._buffer = memoryview(bytearray(READ_BYTES))
        # These belong to the loop's thread; others may look at them, but not go through them.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        unlimited = files == resource.RLIM_INFINITY
        room = MAX_SOCKETS if unlimited else min(MAX_SOCKETS, files - FILES_FOR_THE_REST)
        self._most_sockets = max(FEWEST_SOCKETS, room)
        self._serving: dict[Channel, asyncio.Task[None]] = {}
        self._by_user: dict[UUID, tuple[Connection, ...]] = {}
        self._here: dict[Connection, Seat] = {}
        self._by_seat: dict[str, Connection] = {}
        self._heal_now = threading.Event()
        self._stopped = threading.Event()
        self._reader = StreamReader(
            {
                news.STREAM: self._hear_news,
                news.OF_THE_MOMENT: self._hear_news,
                TO_CLOSE: self._hear_to_close,
            },
            on_return=self._heal_now.set,
        )

    def start(self) -> None:
        for name, work in (
            ("hub-loop", self._loop.run_forever),
            ("hub-reader", lambda: self._reader.read(self._stopped)),
            ("hub-healer", self._heal),
            ("hub-attendance", lambda: self.attendance.keep(self._stopped)),
        ):
            threading.Thread(target=work, name=name, daemon=True).start()

    @property
    def sockets(self) -> int:
        return len(self._here)

    def has_room(self, *, for_a_stranger: bool) -> bool:
        """For one more socket, or one more that has yet to say whose it is."""
        serving = len(self._serving)
        strangers = serving - len(self._here)
        return serving < self._most_sockets and not (for_a_stranger and strangers >= MAX_STRANGERS)

    def _seats(self) -> list[Seat]:
        return list(self._here.values())

    # --- sockets come and go --------------------------------------------------------------------------------

    def welcome(
        self,
        line: socket.socket,
        conversation: WSConnection,
        converse: Callable[[Channel], Coroutine[Any, Any, None]],
    ) -> None:
        """From here on the loop has this socket, and closes it when `converse` is over. Callable from any thread."""
        asyncio.run_coroutine_threadsafe(self._serve(line, conversation, converse), self._loop)

    async def _serve(
        self,
        line: socket.socket,
        conversation: WSConnection,
        converse: Callable[[Channel], Coroutine[Any, Any, None]],
    ) -> None:
        line.setblocking(False)
        channel = Channel(conversation, self._buffer)
        try:
            await self._loop.connect_accepted_socket(lambda: channel, line)
        except OSError:
            line.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._serving[channel] = task
        try:
            if self.closing:
                raise Farewell(GOING_AWAY, "the server is restarting")  # noqa: TRY301 (one place says it)
            await converse(channel)
        except Farewell as farewell:
            await channel.close(farewell.code, farewell.reason)
        except Gone:
            pass
        except Exception:
            log.exception("a socket failed")
            await channel.close(INTERNAL_ERROR, "something went wrong on our side")
        finally:
            channel.hang_up()
            del self._serving[channel]

    @contextmanager
    def hosting(self, connection: Connection) -> Iterator[None]:
        """News reaches this socket meanwhile. A user's sixth lets the oldest go."""
        user_id = connection.caller.id
        here = (*self._by_user.get(user_id, ()), connection)
        self._by_user[user_id] = here
        seat = self._here[connection] = self.attendance.arrive(user_id)
        self._by_seat[seat.id] = connection
        # The attendance in Redis sees the other processes' sockets too; this holds without Redis.
        for oldest in here[:-MAX_SOCKETS_PER_USER]:
            oldest.channel.leave(TOO_MANY_SOCKETS, "too many sockets")
        try:
            yield
        finally:
            left = tuple(other for other in self._by_user[user_id] if other is not connection)
            if left:
                self._by_user[user_id] = left
            else:
                del self._by_user[user_id]
            del self._here[connection], self._by_seat[seat.id]
            self.attendance.leave(seat)

    def close_all(self) -> None:
        """Every socket is closed with 1001, spread over a moment. Returns when they are, within 2 s."""
        self.closing = True
        closing = asyncio.run_coroutine_threadsafe(self._close_all(), self._loop)
        with suppress(TimeoutError):
            closing.result(SPREAD_SECONDS + STUCK_SECONDS + 0.5)
        self._stopped.set()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _close_all(self) -> None:
        serving = dict(self._serving)
        began = time.monotonic()
        for number, channel in enumerate(random.sample(list(serving), len(serving)), start=1):
            channel.leave(GOING_AWAY, "the server is restarting")
            if (early := began + SPREAD_SECONDS * number / len(serving) - time.monotonic()) > 0.005:
                await asyncio.sleep(early)
        if serving:
            await asyncio.wait(serving.values(), timeout=STUCK_SECONDS)
        for channel in list(self._serving):
            channel.hang_up()

    # --- news -----------------------------------------------------------------------------------------------

    def _hear_news(self, entry: dict[str, str]) -> None:
        items = news.read(entry)
        for item in items:
            if item["event"] == "command_settled":
                self.outcomes.hear(item["data"].get("commandId", ""))
        self._loop.call_soon_threadsafe(self._spread, items)

    def _spread(self, items: Sequence[dict[str, Any]]) -> None:
        for item in items:
            for user_id, (seq, own) in item["to"].items():
                for connection in self._by_user.get(UUID(user_id), ()):
                    _hand_over(connection, item, seq, own)

    def _hear_to_close(self, entry: dict[str, str]) -> None:
        if connection := self._by_seat.get(entry["socket"]):
            self._loop.call_soon_threadsafe(connection.channel.leave, TOO_MANY_SOCKETS, "too many sockets")

    def _heal(self) -> None:
        """Compare what the log has with what every local socket knows of, in one query."""
        away = False
        while not self._stopped.is_set():
            self._heal_now.wait(HEAL_EVERY_SECONDS)
            self._heal_now.clear()
            if not (users := list(self._by_user)):
                continue
            try:
                with autocommitting().connect() as connection:
                    newest = newest_seqs(connection, users)
                away = False
            except DATABASE_ERRORS as error:
                if not away:
                    log.warning("sockets cannot be compared with the log: %s", type(error).__name__)
                away = True
                continue
            except Exception:
                log.exception("comparing sockets with the log failed")
                continue
            self._loop.call_soon_threadsafe(self._hear_of, newest)

    def _hear_of(self, newest: dict[UUID, int]) -> None:
        for user_id, seq in newest.items():
            for connection in self._by_user.get(user_id, ()):
                connection.hear_of(seq)


def _hand_over(connection: Connection, item: dict[str, Any], seq: int | None, own: Own) -> None:
    if seq is None:
        # Of the moment and in no log, such as a truck's position.
        connection.mention(unlogged(item["event"], {**item["data"], **(own or {})}))
    else:
        connection.hear(seq, item, own)


_hub: Hub | None = None
_making = threading.Lock()


def hub() -> Hub:
    """This process's hub, made on first use."""
    global _hub  # noqa: PLW0603 (one per process, made after the fork)
    with _making:
        if _hub is None:
            _hub = Hub()
            _hub.start()
        return _hub


def _forget() -> None:
    """A forked child has none of the parent's threads, so it makes a hub of its own."""
    global _hub, _making
    _hub, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
