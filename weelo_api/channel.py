"""One WebSocket as its own thread sees it: messages in, frames out, one event that wakes for either."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import Any

from simple_websocket import Server
from wsproto.events import CloseConnection, TextMessage
from wsproto.utilities import LocalProtocolError

from weelo_api.line import TOO_BIG, TOO_MANY, Inbox, Intake, Line, Stalled

GOING_AWAY, INTERNAL_ERROR, TRY_AGAIN_LATER = 1001, 1011, 1013
UNAUTHORIZED, TOO_MANY_SOCKETS, TOO_SLOW = 4401, 4409, 4413

_TOO_MUCH = {TOO_BIG: "frames are at most 8 KiB", TOO_MANY: "at most 30 frames a second"}

# The client's turn to answer a close frame.
CLOSE_WAIT_SECONDS = 1.0
# Whoever was too slow gets this long to read up to the frame that says so. It costs a thread, but no memory.
SLOW_CLOSE_WAIT_SECONDS = 20.0


class Farewell(Exception):
    """The socket is to be closed, and this is why."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Gone(Exception):
    """The client is not there any more."""


class Channel:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._line: Line = server.sock
        self._inbox: Inbox = server.input_buffer
        self._intake: Intake = server.intake
        self._event: threading.Event = server.event
        self._reader: threading.Thread = server.thread

    @property
    def had_to_wait(self) -> bool:
        """Whether the last frame had to wait for the client to read earlier ones."""
        return self._line.had_to_wait

    def wake(self) -> None:
        """There is something to do. Callable from any thread."""
        self._event.set()

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)
        self._event.clear()

    def take(self, most: int | None = None) -> list[str | bytes]:
        """What has arrived. Raises Farewell if it was too much, Gone if the client left."""
        messages = self._inbox.take(most)
        if code := self._intake.refused:
            raise Farewell(code, _TOO_MUCH[code])
        if not messages and not self._server.connected:
            raise Gone
        return messages

    def send(self, frame: dict[str, Any]) -> None:
        """Raises Farewell if the client does not read, Gone if it left."""
        # ASCII only: half of a surrogate pair would be legal in JSON but impossible in a text frame.
        text = json.dumps(frame, separators=(",", ":"))
        try:
            self._line.send(self._server.ws.send(TextMessage(data=text)))
        except Stalled:
            raise Farewell(TOO_SLOW, "too slow") from None
        except (OSError, LocalProtocolError):
            raise Gone from None

    def close(self, code: int, reason: str) -> None:
        """Say why, give the client a moment to answer, and hang up. For this socket's own thread only."""
        patience = SLOW_CLOSE_WAIT_SECONDS if code == TOO_SLOW else CLOSE_WAIT_SECONDS
        with suppress(OSError, LocalProtocolError):
            self._line.send(self._server.ws.send(CloseConnection(code, reason)), patience)
            self._reader.join(CLOSE_WAIT_SECONDS)
        self.end()

    def end(self) -> None:
        """No more of this socket, and no thread left behind."""
        self.hang_up()
        self._reader.join(CLOSE_WAIT_SECONDS)
        self._server.connected = False

    def hang_up(self) -> None:
        """Break off, whatever is being sent. Callable from any thread."""
        self._line.hang_up()
