"""Socket clients that resume their log after a break and record every violation of the protocol."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request as Upgrade,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tests.faults.heard_log import HeardLog, Line
from tests.support import message_checks
from weelo_client.connection import back_off

ACK_AFTER_SECONDS = 0.3


class Phone:
    """A socket client that checks every frame. Only the poller's thread may use it."""

    def __init__(self, port: int, bearer: str, heard_log: HeardLog) -> None:
        self.heard_log = heard_log
        self.wire: socket.socket | None = None
        self.due = 0.0
        self.connections = 0
        self.turned_away: Counter[int] = Counter()
        self._address = ("127.0.0.1", port)
        self._authorization = f"Bearer {bearer}"
        self._left_behind: list[socket.socket] = []
        self._attempt = 0

    def dial(self) -> socket.socket | None:
        """Connect and return the socket. If that fails, return None and set `due`, the time of the next attempt."""
        self._attempt += 1
        try:
            wire = socket.create_connection(self._address, timeout=5)
        except OSError:
            self.due = time.monotonic() + back_off(self._attempt)
            return None
        wire.setblocking(False)
        self.wire = wire
        self.connections += 1
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._text = ""
        self._asked_after: int | None = None
        self._next: int | None = None
        self._has_resumed = False
        self._acked, self._ack_at = self.heard_log.newest, 0.0
        self._send(
            Upgrade(
                host="127.0.0.1",
                target="/api/v1/ws",
                extra_headers=[(b"Authorization", self._authorization.encode())],
            )
        )
        return wire

    def read(self) -> bool:
        """Process what has arrived. Return False if the connection is over."""
        assert self.wire is not None
        try:
            if not (received := self.wire.recv(64 * 1024)):
                return False
            self._protocol.receive_data(received)
            return all(self._hear(event) for event in self._protocol.events())
        except BlockingIOError:
            return True
        except (OSError, RemoteProtocolError):
            return False

    def disconnect(self, how: str = "closed") -> None:
        """End the connection without a close frame. `how`: "closed", "reset", or "left behind" (it stays open and is never
        read again, as when a phone changes networks)."""
        wire, self.wire = self.wire, None
        if wire is None:
            return
        if how == "left behind":
            self._left_behind.append(wire)
        elif how == "reset":
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
        else:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
            wire.close()
        self.due = time.monotonic() + back_off(self._attempt)

    def acknowledge(self, now: float) -> None:
        if self._asked_after is not None and self.heard_log.newest > self._acked and now >= self._ack_at:
            self._acked, self._ack_at = self.heard_log.newest, now + ACK_AFTER_SECONDS
            self._say(op="ack", seq=self._acked)

    def discard(self) -> None:
        self.disconnect()
        for wire in self._left_behind:
            wire.close()

    def _say(self, **op: Any) -> None:
        message_checks.check_op(op)
        self._send(Message(data=json.dumps(op)))

    def _send(self, event: Event) -> None:
        assert self.wire is not None
        with suppress(OSError, LocalProtocolError):  # the next read finds the connection broken
            self.wire.send(self._protocol.send(event))

    def _hear(self, event: Event) -> bool:
        match event:
            case TextMessage():
                self._text += event.data
                if event.message_finished:
                    self._take(json.loads(self._text))
                    self._text = ""
            case Ping():
                self._send(event.response())
            case RejectConnection():
                self.turned_away[event.status_code] += 1
                return False
            case CloseConnection():
                message_checks.check_close(event.code)
                self.turned_away[event.code] += 1
                return False
            case AcceptConnection():
                pass
        return True

    def _take(self, frame: dict[str, Any]) -> None:
        message_checks.check_frame(frame)
        if frame["event"] == "connected":
            self._attempt = 0
            self._live_from = frame["data"]["seq"] + 1
            self._asked_after = self.heard_log.newest
            if self._live_from <= self._asked_after:
                self.heard_log.wrong.append(
                    f"`connected` with seq {self._live_from - 1} after {self._asked_after}"
                )
            self._say(op="resume", after=self._asked_after)
        elif "seq" not in frame:
            self.heard_log.wrong.append(f"unexpected: {frame}")
        else:
            self._check_order(frame["seq"])
            self.heard_log.add(frame["seq"], Line.written(frame))

    def _check_order(self, seq: int) -> None:
        """Check that this line follows the previous one, or is the first one after our `resume`."""
        assert self._asked_after is not None, "a line before `connected`"
        wanted = self._next if self._next is not None else self._live_from
        resumes = seq == self._asked_after + 1 and not self._has_resumed
        if seq != wanted and not resumes:
            self.heard_log.wrong.append(
                f"{seq} came instead of {wanted} on one connection, resumed after {self._asked_after}"
            )
        self._has_resumed = self._has_resumed or (resumes and seq != wanted)
        self._next = seq + 1


class PhonePoller:
    """Serves all phones in one thread, because five hundred threads would slow the test down."""

    def __init__(self, phones: Sequence[Phone]) -> None:
        self.failed: Exception | None = None
        self._phones = phones
        self._cuts: SimpleQueue[tuple[Phone, str]] = SimpleQueue()
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._listen, name="exchange", daemon=True)
        self._thread.start()

    def cut(self, phone: Phone, how: str) -> None:
        self._cuts.put((phone, how))

    def close(self) -> None:
        self._over.set()
        self._thread.join(timeout=10)
        for phone in self._phones:
            phone.discard()
        self._selector.close()

    def _listen(self) -> None:
        try:
            tend_at = 0.0
            while not self._over.is_set():
                for key, _ in self._selector.select(timeout=0.05):
                    if not key.data.read():
                        self._hang_up(key.data)
                while not self._cuts.empty():
                    self._hang_up(*self._cuts.get())
                if (now := time.monotonic()) >= tend_at:
                    tend_at = now + 0.1
                    for phone in self._phones:
                        self._tend(phone, now)
        except Exception as problem:
            self.failed = problem

    def _hang_up(self, phone: Phone, how: str = "closed") -> None:
        if phone.wire is not None:
            self._selector.unregister(phone.wire)
        phone.disconnect(how)

    def _tend(self, phone: Phone, now: float) -> None:
        if phone.wire is not None:
            phone.acknowledge(now)
        elif now >= phone.due and (wire := phone.dial()) is not None:
            self._selector.register(wire, selectors.EVENT_READ, phone)
