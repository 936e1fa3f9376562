"""A limit on the wait for PostgreSQL's answer, kept by this process.

PostgreSQL can apply its `statement_timeout` only while it runs. If its processes are stopped, or its machine's disk
hangs, the kernel still acknowledges what is sent and answers keepalives, so neither `tcp_user_timeout` nor keepalives
end a wait. Therefore one thread per process looks every second at each connection. If a connection has waited for the
same answer for too long, the thread shuts the connection's socket down. The waiting thread then gets the error of a
lost connection.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import psycopg2
from psycopg2 import extensions

from weelo_workers.logs.outages import Outage

LONGER_SECONDS = 5.0
"""This process waits this much longer than the time limit of a statement, so that a running server ends the statement
itself."""

LIMIT_SECONDS = 10.0 + LONGER_SECONDS
"""The limit of the usual `statement_timeout`."""

LOOK_EVERY_SECONDS = 1.0


class Server:
    """The state of one server: its outage, and whether the outage began with silence and not with a refusal."""

    def __init__(self, outage: Outage) -> None:
        self.outage = outage
        self.is_silent = False

    def silent(self, reason: object, *, waited: float = 0.0) -> None:
        """Record that the server does not answer. The next answer on any connection then ends the outage.

        `waited`: how long (seconds) a thread has waited for the answer.
        """
        self.outage.failed(reason, waited=waited)
        self.is_silent = True

    def answered(self) -> None:
        """Record that the server has answered."""
        self.is_silent = False
        self.outage.answered()


class WatchedConnection(extensions.connection):  # type: ignore[misc]
    """A connection that shows whether a thread waits for an answer on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = WatchedCursor
        self.server: Server | None = None
        self.usual_limit_seconds = self.limit_seconds = LIMIT_SECONDS
        """How many seconds one wait may last: usually, and in the present transaction."""
        # The waiting thread writes the following attributes.
        self.waits = self.answers = 0
        self._is_waiting = False
        # A wait cannot end while this lock is held. So a thread that holds the lock cannot shut down the wrong socket:
        # the file descriptor still belongs to this connection.
        self._lock = threading.Lock()
        # The watching thread writes the following attributes: what it saw at its last look. It counts looks and not
        # seconds, so that a wait does not become older while this process itself is stopped.
        self._wait_seen = self._looks = self._answers_seen = 0

    def begin_wait(self) -> None:
        self.waits += 1
        self._is_waiting = True

    def end_wait(self) -> None:
        with self._lock:
            self._is_waiting = False

    def look(self) -> None:
        """End a wait that has lasted too long, and record an answer after a silence. Called every second by one thread."""
        if self.server is None:
            return
        wait, answers = self.waits, self.answers
        if self.server.is_silent and answers > self._answers_seen:
            self.server.answered()
        self._answers_seen = answers
        self._looks = self._looks + 1 if self._is_waiting and wait == self._wait_seen else 0
        self._wait_seen = wait
        if self._looks * LOOK_EVERY_SECONDS >= self.limit_seconds:
            self.server.silent(f"no answer for {self.limit_seconds:.0f} s", waited=self.limit_seconds)
            self._shut_down(wait)

    def commit(self) -> None:
        self.begin_wait()
        try:
            super().commit()
            self.answers += 1
        finally:
            self.end_wait()

    def rollback(self) -> None:
        self.begin_wait()
        try:
            super().rollback()
            self.answers += 1
        finally:
            self.end_wait()

    def _shut_down(self, wait: int) -> None:
        """End this wait, if it still lasts. `wait`: its number."""
        with self._lock, suppress(OSError, psycopg2.Error):
            if self._is_waiting and self.waits == wait:
                with socket.socket(fileno=os.dup(self.fileno())) as same:
                    same.shutdown(socket.SHUT_RDWR)


class WatchedCursor(extensions.cursor):  # type: ignore[misc]
    """A cursor of a WatchedConnection."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 (psycopg2's name)
        connection: WatchedConnection = self.connection
        connection.begin_wait()
        try:
            super().execute(query, vars)
            connection.answers += 1
        finally:
            connection.end_wait()

    def executemany(self, query: Any, vars_list: Any) -> None:
        connection: WatchedConnection = self.connection
        connection.begin_wait()
        try:
            super().executemany(query, vars_list)
            connection.answers += 1
        finally:
            connection.end_wait()


class _Watch:
    """The connections of this process, and the thread that watches them."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Reset this object: no connections, no thread, and a new lock, which is free."""
        self._lock = threading.Lock()
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._thread: threading.Thread | None = None

    def add(self, connection: WatchedConnection) -> None:
        with self._lock:
            self._connections.add(connection)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="unanswered", daemon=True)
                try:
                    self._thread.start()
                except (
                    RuntimeError
                ):  # The system permits no further thread now; the next connection tries again.
                    self._thread = None

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(LOOK_EVERY_SECONDS)
            self._look()

    def _look(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.look()


_watch = _Watch()


def watch(connection: WatchedConnection, server: Server, limit_seconds: float) -> None:
    """Limit the waits on this connection from now on. `limit_seconds`: the usual limit of one wait."""
    connection.usual_limit_seconds = connection.limit_seconds = limit_seconds
    connection.server = server
    _watch.add(connection)


# A forked child process does not have the thread, and its copy of the lock may never be released, so both are replaced.
os.register_at_fork(after_in_child=_watch.begin_anew)
