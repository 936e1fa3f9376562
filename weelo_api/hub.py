"""Where news meets sockets: one hub per API process, with one reader of Redis for all of them.

News is only news. Whatever it loses, the healer finds in PostgreSQL's log within seconds.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from weelo_api.attendance import MAX_SOCKETS_PER_USER, TO_CLOSE, Attendance, Seat
from weelo_api.channel import GOING_AWAY, TOO_MANY_SOCKETS, Farewell
from weelo_api.connection import Connection
from weelo_api.frames import unlogged
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


class Count:
    """A number that many threads add to."""

    def __init__(self) -> None:
        self._next = itertools.count(1)
        self.value = 0

    def add(self) -> None:
        self.value = next(self._next)


class Hub:
    """`frames_sent` and `sockets` are for the metrics, `closing` for whoever might wait long."""

    def __init__(self) -> None:
        self.closing = False
        self.frames_sent = Count()
        self.attendance = Attendance(self._seats)
        self._lock = threading.Lock()
        # Replaced, never changed in place: the reader looks without locking.
        self._by_user: dict[UUID, tuple[Connection, ...]] = {}
        self._here: dict[Connection, Seat] = {}
        self._by_seat: dict[str, Connection] = {}
        self._expected: dict[str, list[threading.Event]] = {}
        self._heal_now = threading.Event()
        self._stopped = threading.Event()
        self._reader = StreamReader(
            {news.STREAM: self._hear_news, TO_CLOSE: self._hear_to_close}, on_return=self._heal_now.set
        )

    def start(self) -> None:
        for name, work in (
            ("hub-reader", lambda: self._reader.read(self._stopped)),
            ("hub-healer", self._heal),
            ("hub-attendance", lambda: self.attendance.keep(self._stopped)),
        ):
            threading.Thread(target=work, name=name, daemon=True).start()

    @property
    def sockets(self) -> int:
        return len(self._here)

    def _seats(self) -> list[Seat]:
        with self._lock:
            return list(self._here.values())

    # --- sockets come and go --------------------------------------------------------------------------------

    @contextmanager
    def hosting(self, connection: Connection) -> Iterator[None]:
        """News reaches this socket meanwhile. A user's sixth lets the oldest go. Farewell if closing."""
        self._join(connection)
        try:
            yield
        finally:
            self._part(connection)

    def _join(self, connection: Connection) -> None:
        user_id = connection.caller.id
        with self._lock:
            if self.closing:
                raise Farewell(GOING_AWAY, "the server is restarting")
            here = (*self._by_user.get(user_id, ()), connection)
            self._by_user[user_id] = here
            seat = self.attendance.arrive(user_id)
            self._here[connection] = seat
            self._by_seat[seat.id] = connection
        # The attendance in Redis sees the other processes' sockets too; this holds without Redis.
        for oldest in here[:-MAX_SOCKETS_PER_USER]:
            oldest.leave(TOO_MANY_SOCKETS, "too many sockets")

    def _part(self, connection: Connection) -> None:
        user_id = connection.caller.id
        with self._lock:
            left = tuple(other for other in self._by_user[user_id] if other is not connection)
            if left:
                self._by_user[user_id] = left
            else:
                del self._by_user[user_id]
            seat = self._here.pop(connection)
            del self._by_seat[seat.id]
        self.attendance.leave(seat)
        connection.over.set()

    def close_all(self) -> None:
        """Every socket is closed with 1001, spread over a moment. Returns when they are, within 2 s."""
        with self._lock:
            self.closing = True
            connections = list(self._here)
        random.shuffle(connections)
        for connection in connections:
            connection.leave(GOING_AWAY, "the server is restarting")
            time.sleep(SPREAD_SECONDS / len(connections))
        stuck_at = time.monotonic() + STUCK_SECONDS
        for connection in connections:
            if not connection.over.wait(max(0.0, stuck_at - time.monotonic())):
                connection.hang_up()
        self._stopped.set()

    # --- what others wait for -------------------------------------------------------------------------------

    @contextmanager
    def expecting(self, command_id: UUID) -> Iterator[threading.Event]:
        """An event whose `wait(seconds)` returns True once news of this command's outcome has passed.

        News may be lost: look at the row now and then as well.
        """
        settled = threading.Event()
        key = str(command_id)
        with self._lock:
            self._expected.setdefault(key, []).append(settled)
        try:
            yield settled
        finally:
            with self._lock:
                self._expected[key].remove(settled)
                if not self._expected[key]:
                    del self._expected[key]

    # --- news -----------------------------------------------------------------------------------------------

    def _hear_news(self, entry: dict[str, str]) -> None:
        for item in news.read(entry):
            if item["event"] == "command_settled":
                for settled in tuple(self._expected.get(item["data"].get("commandId"), ())):
                    settled.set()
            for user_id, (seq, own) in item["to"].items():
                for connection in self._by_user.get(UUID(user_id), ()):
                    _hand_over(connection, item, seq, own)

    def _hear_to_close(self, entry: dict[str, str]) -> None:
        if connection := self._by_seat.get(entry["socket"]):
            connection.leave(TOO_MANY_SOCKETS, "too many sockets")

    def _heal(self) -> None:
        """Compare what the log has with what every local socket knows of, in one query."""
        away = False
        while not self._stopped.is_set():
            self._heal_now.wait(HEAL_EVERY_SECONDS)
            self._heal_now.clear()
            with self._lock:
                by_user = dict(self._by_user)
            if not by_user:
                continue
            try:
                with autocommitting().connect() as connection:
                    newest = newest_seqs(connection, by_user)
                away = False
            except DATABASE_ERRORS as error:
                if not away:
                    log.warning("sockets cannot be compared with the log: %s", type(error).__name__)
                away = True
                continue
            for user_id, seq in newest.items():
                for socket in by_user[user_id]:
                    socket.hear_of(seq)


def _hand_over(connection: Connection, item: dict[str, Any], seq: int | None, own: Own) -> None:
    if seq is None:
        # Of the moment and in no log, such as a truck's position.
        connection.aside(unlogged(item["event"], {**item["data"], **(own or {})}))
    else:
        connection.offer(seq, item, own)


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
