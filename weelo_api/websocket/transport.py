"""The transport of one WebSocket: receives messages, sends frames and pings, and limits the cost of both directions.

wsproto implements RFC 6455. Everything here runs on the hub's event loop.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from contextlib import suppress
from typing import Any, cast

from wsproto import WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.inbound_limits import InboundLimits

_TOO_MUCH = {
    CloseCode.TOO_BIG: "frames are at most 8 KiB",
    CloseCode.TOO_MANY: "at most 30 frames a second",
}

# A dead peer is detected when the second ping is due, within 36 s.
PING_SECONDS = 18.0
# Mobile networks stall for seconds. If the send buffer stays full for longer than this, the client does not read.
SEND_TIMEOUT_SECONDS = 10.0
# The kernel's send buffer per client. By default it would grow to megabytes for each slow client.
SEND_BUFFER_BYTES = 64 * 1024
# Limit on the bytes of unsent frames, such as pongs for a client that keeps sending pings and never reads.
MAX_UNSENT_BYTES = 1024 * 1024
# How many received messages may wait to be handled. At this number reading pauses, and the client's buffers fill.
MAX_WAITING = 64

# How long a client may take to answer a close frame.
CLOSE_WAIT_SECONDS = 1.0
# How long a client that was too slow may take to read up to the close frame.
SLOW_CLOSE_WAIT_SECONDS = 20.0


_encode = json.JSONEncoder(separators=(",", ":")).encode


class Disconnect(Exception):
    """The server closes the socket, with this close code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class PeerGone(Exception):
    """The client has closed or lost the connection."""


class WebSocketTransport(asyncio.BufferedProtocol):
    def __init__(self, conversation: WSConnection, buffer: memoryview) -> None:
        """Make a transport. `buffer`: the receive buffer, which all transports of a loop share."""
        self.was_blocked = False
        """Whether the last frame had to wait for the client to read earlier ones."""
        self._ws = conversation
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._limits = InboundLimits()
        self._message: list[Any] = []
        self._unfinished = 0
        self._inbox: deque[str | bytes] = deque()
        self._requested_close: Disconnect | None = None
        self._answered = True
        self._alarm: asyncio.TimerHandle | None = None
        self._awake = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._connection_lost = asyncio.Event()

    # --- called by the session ------------------------------------------------------------------------------

    def wake(self) -> None:
        """Wake the session."""
        self._awake.set()

    def request_close(self, code: CloseCode, reason: str) -> None:
        """Make the session close the socket. Later calls have no effect."""
        self._requested_close = self._requested_close or Disconnect(code, reason)
        self._awake.set()

    async def wait(self, seconds: float) -> None:
        """Wait for `wake`, for at most `seconds`. May return early."""
        # A running timer that ends before this time is kept, because a new timer for each frame would be costly. The
        # wait then returns early, which does no harm.
        if self._alarm is None or self._loop.time() + seconds < self._alarm.when():
            self._set_alarm(seconds)
        await self._awake.wait()
        self._awake.clear()

    def _set_alarm(self, seconds: float) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(seconds, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        self._awake.set()

    def raise_if_closing(self) -> None:
        """Raise Disconnect if a close was requested or a limit exceeded."""
        if code := self._limits.refused:
            raise Disconnect(code, _TOO_MUCH[code])
        if self._requested_close:
            raise self._requested_close

    def next_message(self) -> str | bytes | None:
        """Return the next message, or None.

        Raises Disconnect as `raise_if_closing` does, and PeerGone if the client is gone.
        """
        self.raise_if_closing()
        if self._inbox:
            if len(self._inbox) == MAX_WAITING:
                self._transport.resume_reading()
            return self._inbox.popleft()
        if self._connection_lost.is_set():
            raise PeerGone
        return None

    async def send(self, frame: dict[str, Any]) -> None:
        """Send a frame. Raises Disconnect(CloseCode.TOO_SLOW) if the client does not read, PeerGone if it is gone."""
        # The JSON is ASCII, because a lone surrogate is allowed in JSON but cannot be encoded in a text frame.
        try:
            self._write(TextMessage(data=_encode(frame)))
        except LocalProtocolError:
            raise PeerGone from None
        self.was_blocked = not self._drained.is_set()
        if self.was_blocked:
            await self._drain(SEND_TIMEOUT_SECONDS)
        if self._connection_lost.is_set():
            raise PeerGone

    async def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame, wait for its answer, and close the connection."""
        self._next_ping.cancel()
        with suppress(LocalProtocolError, Disconnect):
            self._write(CloseConnection(code, reason))
            await self._drain(SLOW_CLOSE_WAIT_SECONDS if code is CloseCode.TOO_SLOW else CLOSE_WAIT_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connection_lost.wait(), CLOSE_WAIT_SECONDS)
        self.abort()

    def abort(self) -> None:
        """Close the connection at once and discard what is unsent."""
        self._transport.abort()

    # --- called by the event loop ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # `send` waits whenever the kernel does not take a whole frame. So a client that does not read occupies one
        # kernel buffer, and no memory of this process.
        self._transport.set_write_buffer_limits(high=0)
        line: socket.socket = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._next_ping = self._loop.call_later(PING_SECONDS, self._ping)

    def connection_lost(self, _error: Exception | None) -> None:
        self._next_ping.cancel()
        if self._alarm:
            self._alarm.cancel()
        self._connection_lost.set()
        self._drained.set()
        self._awake.set()

    def get_buffer(self, _hint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        self._limits.count_bytes(count)
        if self._limits.refused:
            # Closing with unread bytes would reset the connection, and a reset can overtake the close frame. So the
            # rest is read and discarded until one side closes.
            self._awake.set()
            return
        try:
            self._ws.receive_data(bytes(self._buffer[:count]))
            for event in self._ws.events():
                self._on_event(event)
                if self._limits.refused:
                    self._awake.set()
                    break
        except LocalProtocolError:
            self._transport.close()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def _on_event(self, event: Event) -> None:
        match event:
            case TextMessage() | BytesMessage():
                self._on_message(event)
            case Ping():
                self._limits.count_control()
                self._write(event.response())
            case Pong():
                self._limits.count_control()
                self._answered = True
            case CloseConnection():
                # If the state is still OPEN, the client has sent an invalid frame, and this event is wsproto's reaction
                # to it. So the client is sent a close frame.
                if self._ws.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.OPEN):
                    self._write(event.response())
                self._transport.close()

    def _on_message(self, event: TextMessage | BytesMessage) -> None:
        data = event.data
        self._unfinished += len(data.encode() if isinstance(data, str) else data)
        self._limits.count_message(self._unfinished)
        # wsproto delivers a frame in pieces as they arrive. Only the last piece counts as a frame.
        if event.frame_finished:
            self._limits.count_frame()
        if data:  # empty fragments are not kept: they have no size, so no limit would end such a message
            self._message.append(data)
        if event.message_finished and not self._limits.refused:
            self._inbox.append("".join(self._message) if isinstance(data, str) else b"".join(self._message))
            if len(self._inbox) == MAX_WAITING:
                self._transport.pause_reading()
        if event.message_finished:
            self._message, self._unfinished = [], 0
        self._awake.set()

    def _ping(self) -> None:
        self._next_ping = self._loop.call_later(PING_SECONDS, self._ping)
        with suppress(LocalProtocolError):
            if self._answered:
                self._answered = False
                self._write(Ping())
                return
            self._write(CloseConnection(CloseCode.POLICY_VIOLATION, "no answer to a ping"))
        self.abort()

    def _write(self, event: Event) -> None:
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort()
            return
        self._transport.write(self._ws.send(event))

    async def _drain(self, patience: float) -> None:
        try:
            await asyncio.wait_for(self._drained.wait(), patience)
        except TimeoutError:
            raise Disconnect(CloseCode.TOO_SLOW, "too slow") from None
