"""The socket: what concerns one user, live, in order, each event once, however often the line breaks."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import websocket

from weelo_client.connection import PREFIX, Token, back_off, fresh
from weelo_client.errors import ChannelEnded
from weelo_client.frames import Frame, Frames, NotAFrame, Predicate

CONNECT_SECONDS = 5.0
ACK_WITHIN_SECONDS = 0.3  # well below the 3 s after which the server falls back to a push
ACK_EVERY = 50
QUIET_SECONDS = 20.0  # until the server has said how often it wants to hear from us
SILENCES = 3  # so many quiet times without a sign of life, and the connection counts as dead

# Reconnecting would not help: bad or expired token, one of somebody else, or newer sockets of the same user took this
# one's place (two apps that both insisted would throw one another out for ever).
EXPIRED_CODE = 4401
FINAL_CODES = {EXPIRED_CODE, 4403, 4409}


class Channel:
    """Reads frames in a thread of its own, remembers them, acknowledges them, and comes back when cut off.

    `after`: the last `seq` you have seen, in order to hear everything since; None begins with now.
    `on_frame` is called in the reading thread for every new frame: be quick there.

        with client.listen() as channel:
            channel.wait_for("truck_confirmed", within=60, broadcastId=broadcast["id"])
    """

    def __init__(
        self,
        base_url: str,
        token: Token,
        *,
        after: int | None = None,
        remember: int = 10_000,
        on_frame: Callable[[Frame], None] | None = None,
    ) -> None:
        self._url = "ws" + base_url.rstrip("/").removeprefix("http") + PREFIX + "/ws"
        self._token = token
        self._last_seq = after
        self._asked_again_after: int | None = None
        self._gap_seen_at = 0
        self._unacked = 0
        self._unacked_since = 0.0
        self._quiet = QUIET_SECONDS
        self._on_frame = on_frame
        self._heard = Frames(remember)
        self._line: websocket.WebSocket | None = None
        self._closing = threading.Event()
        self.reconnects = 0
        self._thread = threading.Thread(target=self._run, name="weelo channel", daemon=True)
        self._thread.start()

    # --- what one does with it ----------------------------------------------------------------------------

    @property
    def frames(self) -> tuple[Frame, ...]:
        """What has been heard so far."""
        return self._heard.all()

    @property
    def last_seq(self) -> int:
        """Keep it, and give it as `after` when your app starts again."""
        return self._last_seq or 0

    def wait_for(self, wanted: str | Predicate, *, within: float, **data: Any) -> Frame:
        """The first frame heard, earlier or within so many seconds, of that event name (or for which `wanted`
        is true) and whose data has these values. Raises NotHeard or ChannelEnded."""
        return self._heard.wait_for(wanted, within=within, **data)

    def __iter__(self) -> Iterator[Frame]:
        """Every frame, from the first remembered on, waiting for more until the channel is closed."""
        return self._heard.follow()

    def heartbeat(self, latitude: float, longitude: float) -> bool:
        """Still here, and here (transporter, driver). False while cut off: the next one makes up for it."""
        return self._say({"op": "heartbeat", "latitude": latitude, "longitude": longitude})

    def close(self) -> None:
        """Hang up. What was heard can still be read."""
        self._ack()
        self._closing.set()
        line = self._line  # the reading thread may be letting go of it just now, and of its socket
        if line is not None:
            with suppress(OSError, websocket.WebSocketException):
                line.send_close(1000)
            wire = line.sock
            if wire is not None:
                with suppress(OSError):
                    wire.shutdown(socket.SHUT_RD)  # wakes the reading thread
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)
        self._heard.end(ChannelEnded("closed"))

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the reading thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            heard_before = self._heard.count
            try:
                self._read_one_connection()
            except ChannelEnded as turned_away:
                self._heard.end(turned_away)
                return
            except (OSError, websocket.WebSocketException):
                pass  # cut off: come back
            except Exception as defect:
                # Ours or of `on_frame`: whoever waits shall not wait for a thread that is gone.
                self._heard.end(ChannelEnded(f"reading failed: {defect!r}"))
                raise
            finally:
                self._line = None
            attempt = 0 if self._heard.count > heard_before else attempt + 1
            if not self._closing.is_set():
                self.reconnects += 1
                self._closing.wait(back_off(attempt, longest=15.0))
        self._heard.end(ChannelEnded("closed"))

    def _read_one_connection(self) -> None:
        """Returns when the connection is dead; raises ChannelEnded when coming back is pointless."""
        line = self._connect()
        self._line = line
        self._unacked = 0
        last_sign = time.monotonic()
        greeted = False
        try:
            while not self._closing.is_set():
                line.settimeout(ACK_WITHIN_SECONDS if self._unacked else self._quiet)
                try:
                    opcode, payload = line.recv_data()
                except websocket.WebSocketTimeoutException:
                    self._ack()
                    silent = time.monotonic() - last_sign
                    if silent > SILENCES * self._quiet:
                        return
                    if silent > self._quiet:
                        self._say({"op": "ping"})
                    continue
                last_sign = time.monotonic()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    self._raise_if_final(payload, greeted)
                    return
                with suppress(NotAFrame):
                    frame = Frame.parse(payload)
                    greeted = greeted or frame.event == "connected"
                    self._take(frame)
        finally:
            with suppress(OSError, websocket.WebSocketException):
                line.close(timeout=0)

    def _connect(self) -> websocket.WebSocket:
        try:
            return websocket.create_connection(
                self._url,
                timeout=CONNECT_SECONDS,
                header=[f"Authorization: Bearer {fresh(self._token)}"],
                enable_multithread=True,
                redirect_limit=0,
                http_no_proxy=["127.0.0.1", "localhost", "::1"],
            )
        except websocket.WebSocketBadStatusException as refused:
            if refused.status_code in (401, 403):
                raise ChannelEnded(f"HTTP {refused.status_code}", refused.status_code) from refused
            raise

    def _raise_if_final(self, payload: bytes, greeted: bool) -> None:
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        if code == EXPIRED_CODE and greeted and callable(self._token):
            return  # the token has expired meanwhile, and there is a fresh one
        if code in FINAL_CODES:
            reason = payload[2:].decode("utf-8", "replace")
            raise ChannelEnded(f"the server closed the channel: {code} {reason}".rstrip(), code)

    # --- frames -------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.event == "pong":
            return
        if frame.event == "connected":
            self._on_connected(frame)
        elif frame.event == "resync_required":
            # Older than the log reaches: go on with what is left. The app should read its state afresh.
            self._last_seq = int(frame.data["oldestSeq"]) - 1
            self._resume()
        elif frame.seq is not None and not self._is_next(frame.seq):
            return
        self._heard.add(frame)
        if self._on_frame is not None:
            self._on_frame(frame)

    def _on_connected(self, frame: Frame) -> None:
        self._quiet = float(frame.data.get("heartbeatSeconds") or QUIET_SECONDS)
        if self._last_seq is None:
            self._last_seq = int(frame.data["seq"])
        # Also on the first connection, so that nothing can fall between "newest is 41" and the live stream.
        self._asked_again_after = None
        self._resume()

    def _is_next(self, seq: int) -> bool:
        """Whether this is the next line of the log. Repeated ones are dropped; a gap is asked for once."""
        last = self._last_seq or 0
        if seq <= last:
            return False
        if seq > last + 1:
            if self._asked_again_after != last:
                self._asked_again_after, self._gap_seen_at = last, seq
                self._resume()
                return False  # it comes again, behind those that are missing
            if seq > self._gap_seen_at:
                return False  # live, ahead of the answer, in which it comes again
            # The answer begins behind the gap: what is missing is gone for good.
        self._last_seq = seq
        if not self._unacked:
            self._unacked_since = time.monotonic()
        self._unacked += 1
        if self._unacked >= ACK_EVERY or time.monotonic() - self._unacked_since > ACK_WITHIN_SECONDS:
            self._ack()
        return True

    # --- to the server ------------------------------------------------------------------------------------

    def _resume(self) -> None:
        self._say({"op": "resume", "after": self._last_seq})

    def _ack(self) -> None:
        if self._unacked:
            self._unacked = 0
            self._say({"op": "ack", "seq": self._last_seq})

    def _say(self, message: dict[str, Any]) -> bool:
        line = self._line
        if line is None:
            return False
        try:
            line.send(json.dumps(message))
        except (OSError, websocket.WebSocketException):
            return False  # the reading thread notices and comes back
        return True
