"""The TCP connection under a WebSocket, with a bound on what comes in and on how long sending may take.

simple-websocket reads in a thread of its own as fast as the client sends, keeps all of it, and writes (its
pings and pongs too) with a bare `send` that waits for ever and is not locked. Here, below it, are the bounds.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TOO_BIG, TOO_MANY = 4408, 4429

MAX_FRAME_BYTES = 8 * 1024
MAX_FRAMES_PER_SECOND = 30
# All that so many such frames can be, headers included: a flood of control frames ends here too.
MAX_BYTES_PER_SECOND = MAX_FRAMES_PER_SECOND * (MAX_FRAME_BYTES + 16)

# Mobile networks do stall for seconds; longer, with a full buffer, is a client that does not read.
SEND_PATIENCE_SECONDS = 10.0
# What the kernel buffers for a slow client. By default it would grow to megabytes, for each of hundreds.
SEND_BUFFER_BYTES = 64 * 1024


class Stalled(OSError):
    """The client did not take what was sent in time."""


class Intake:
    """What has come in lately. `refused` is the close code once it was too much."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.refused: int | None = None
        self._wake = wake
        self._frames: deque[float] = deque(maxlen=MAX_FRAMES_PER_SECOND)
        self._bytes = 0
        self._second_began = time.monotonic()

    def refuse(self, code: int) -> None:
        self.refused = self.refused or code
        self._wake()

    def count_frame(self, size: int) -> None:
        now = time.monotonic()
        if len(self._frames) == MAX_FRAMES_PER_SECOND and now - self._frames[0] < 1:
            self.refuse(TOO_MANY)
        if size > MAX_FRAME_BYTES:
            self.refuse(TOO_BIG)
        self._frames.append(now)

    def count_bytes(self, count: int) -> None:
        now = time.monotonic()
        if now - self._second_began >= 1:
            self._second_began, self._bytes = now, 0
        self._bytes += count
        if self._bytes > MAX_BYTES_PER_SECOND:
            self.refuse(TOO_MANY)


class Inbox(list[str | bytes]):
    """Stands in for simple-websocket's list of messages: each is counted as it arrives."""

    def __init__(self, intake: Intake) -> None:
        super().__init__()
        self._intake = intake

    def append(self, message: str | bytes) -> None:
        self._intake.count_frame(len(message.encode() if isinstance(message, str) else message))
        if not self._intake.refused:
            super().append(message)

    def take(self, most: int | None = None) -> list[str | bytes]:
        """What is there, oldest first. Only one thread takes; another may be appending."""
        messages = self[:most]
        del self[: len(messages)]
        return messages


class Line:
    """Stands in for simple-websocket's socket."""

    def __init__(self, raw: socket.socket, intake: Intake, unfinished: Callable[[], int]) -> None:
        """`unfinished`: how much of an incomplete message has come so far."""
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.had_to_wait = False
        self._raw = raw
        self._intake = intake
        self._unfinished = unfinished
        self._sending = threading.Lock()
        self._unsent = b""

    def fileno(self) -> int:
        return self._raw.fileno()

    def recv(self, size: int) -> bytes:
        """The next bytes; none once the client has been refused (the reader then ends)."""
        data = self._raw.recv(size)
        self._intake.count_bytes(len(data))
        if self._unfinished() > MAX_FRAME_BYTES:
            self._intake.refuse(TOO_BIG)
        if not self._intake.refused:
            return data
        # Closing with unread bytes would be a reset, and a reset can overtake the close frame that says why.
        # So the rest is taken and thrown away until one of us hangs up.
        while data:
            data = self._raw.recv(64 * 1024)
        return b""

    def send(self, data: bytes, patience: float = SEND_PATIENCE_SECONDS) -> int:
        """All of it, one sender at a time. Raises Stalled after `patience` seconds, or OSError."""
        deadline = time.monotonic() + patience
        if not self._sending.acquire(timeout=patience):
            raise Stalled
        try:
            # Half a frame stays in front of whatever comes next, else the client could not read on.
            self._unsent += data
            self.had_to_wait = False
            while self._unsent:
                try:
                    self._unsent = self._unsent[self._raw.send(self._unsent, socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    self.had_to_wait = True
                    self._wait_until_writable(deadline)
        finally:
            self._sending.release()
        return len(data)

    def _wait_until_writable(self, deadline: float) -> None:
        writable = select.poll()
        writable.register(self._raw, select.POLLOUT)
        left = deadline - time.monotonic()
        if left <= 0 or not writable.poll(left * 1000):
            raise Stalled

    def close(self) -> None:
        """Nothing: simple-websocket's reader closes as it ends, but a close frame may have to go out yet."""

    def hang_up(self) -> None:
        """Ends whatever anybody waits for here. gunicorn closes the socket once the request is over."""
        with suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)


def reader_thread(target: Callable[[], None], **_: Any) -> threading.Thread:
    """simple-websocket's `thread_class`: called after the handshake, before the first byte is read."""
    server: Any = target.__self__  # type: ignore[attr-defined]
    intake = Intake(server.event.set)
    server.sock = Line(server.sock, intake, lambda: server.incoming_message_len)
    server.input_buffer = Inbox(intake)
    server.intake = intake

    def read() -> None:
        # Its own way out leaves `connected` set where closing crosses with a close from the other side.
        with suppress(Exception):
            target()
        server.connected = False
        server.event.set()

    return threading.Thread(target=read, name="socket-reader", daemon=True)
