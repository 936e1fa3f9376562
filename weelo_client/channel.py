"""The channel delivers one user's events live, in order and exactly once, across any number of lost connections."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import websocket

from weelo_client.connection import PREFIX, Token, back_off, checked_base_url, current_token, is_loopback
from weelo_client.errors import ChannelEnded
from weelo_client.frames import Frame, FrameBuffer, NotAFrame, Predicate

CONNECT_SECONDS = 5.0
# The interval between acks is well below the 3 s after which the server sends a push instead. Acks are sent by time and
# not by number of lines, because the server accepts at most 30 messages a second.
ACK_SECONDS = 0.3
QUIET_SECONDS = 20.0  # this time applies until the server has sent its `heartbeatSeconds`
MAX_MISSED_HEARTBEATS = 3  # after this many heartbeat periods without a frame the connection counts as dead
STEADY_SECONDS = 10.0  # after a longer connection the back-off starts again at its first value

# After these close codes reconnecting would not help: the token is bad, expired or another user's, or newer sockets of
# the same user have replaced this one (two apps that both reconnected would close each other's sockets for ever).
EXPIRED_CODE = 4401
FINAL_CODES = {EXPIRED_CODE, 4403, 4409}


class Channel:
    """Reads frames in a thread of its own, keeps and acknowledges them, and reconnects.

    - `after`: the last `seq` you have stored, to receive all later events; None starts with the next one.
    - `remember`: how many of the newest frames are kept for `frames`, `wait_for` and iteration.
    - `on_frame` is called in the reading thread for every new frame, in order. When it returns, the frame counts as
      received and is acknowledged. Store it there, and be quick: after a wait of 10 s the server closes the socket.

        with client.listen() as channel:
            channel.wait_for("truck_confirmed", within=60, broadcastId=broadcast["id"])

    The channel reconnects after 0.1 s, then backs off up to 15 s, with jitter. When the server refuses it for good (see
    ChannelEnded) or `on_frame` has raised, the channel ends, and waiting calls raise ChannelEnded.
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
        self._url = "ws" + checked_base_url(base_url).removeprefix("http") + PREFIX + "/ws"
        self._token = token
        self._last_seq = after
        self._asked_again_after: int | None = None
        self._gap_seen_at = 0
        self._unacked_since: float | None = None
        self._quiet = QUIET_SECONDS
        self._on_frame = on_frame
        self._received = FrameBuffer(remember)
        self._socket: websocket.WebSocket | None = None
        self._closing = threading.Event()
        self.reconnects = 0
        self._thread = threading.Thread(target=self._run, name="weelo channel", daemon=True)
        self._thread.start()

    # --- for the app --------------------------------------------------------------------------------------

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The newest frames received, at most `remember` of them, oldest first."""
        return self._received.all()

    @property
    def last_seq(self) -> int:
        """The newest `seq` received. Store it, and pass it as `after` when your app starts again."""
        return self._last_seq or 0

    def wait_for(self, wanted: str | Predicate, *, within: float, **data: Any) -> Frame:
        """Return the first matching frame, received already or within `within` seconds.

        `wanted` is an event name or a predicate, `data` are values that the frame's data must have. Raises
        ChannelEnded, or FrameTimeout, which names the frames that were received and the connection's error.
        """
        return self._received.wait_for(wanted, within=within, **data)

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame, beginning with the oldest one kept, and wait for more until the channel is closed.

        An iteration that falls behind by more than `remember` frames misses the oldest ones. `on_frame` receives all
        frames.
        """
        return self._received.follow()

    def heartbeat(self, latitude: float, longitude: float) -> bool:
        """Send a transporter's or driver's heartbeat with this position. Returns False while not connected."""
        return self._send({"op": "heartbeat", "latitude": latitude, "longitude": longitude})

    def renew(self, token: Token | None = None) -> bool:
        """Send a fresh token before the old one expires. By default the client's token function returns it.

        A client with a token function need not call this: when the server closes a connection because its token has
        expired, the next connection calls the function. Returns False while not connected; the next connection then
        sends the token.
        """
        if token is not None:
            self._token = token
        return self._send({"op": "auth", "token": current_token(self._token)})

    def close(self) -> None:
        """Acknowledge the received frames and close the channel. These frames can still be read."""
        self._ack()
        self._closing.set()
        connection = self._socket  # the reading thread may set `_socket` to None in the meantime
        if connection is not None:
            with suppress(OSError, websocket.WebSocketException):
                connection.send_close(1000)
            wire = connection.sock
            if wire is not None:
                with suppress(OSError):
                    wire.shutdown(socket.SHUT_RD)  # ends the read for which the reading thread waits
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)
        self._received.end(ChannelEnded("closed"))

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the reading thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            began, seq_before = time.monotonic(), self._last_seq
            try:
                self._received.connection_error = self._read_one_connection()
            except ChannelEnded as ended:
                self._received.end(ended)
                return
            except (OSError, websocket.WebSocketException) as error:
                self._received.connection_error = str(error) or type(error).__name__
            except Exception as defect:
                # Any other exception is a defect of the client or of `on_frame`. It ends the channel, because otherwise
                # other threads would wait for ever for this thread.
                self._received.end(ChannelEnded(f"reading failed: {defect!r}"))
                raise
            finally:
                self._socket = None
            # The frame `connected` alone does not end the back-off, because the server may accept a socket and close it
            # at once.
            steady = time.monotonic() - began > STEADY_SECONDS or self._last_seq != seq_before
            attempt = 0 if steady else attempt + 1
            if not self._closing.is_set():
                self.reconnects += 1
                self._closing.wait(back_off(attempt, longest=15.0))
        self._received.end(ChannelEnded("closed"))

    def _read_one_connection(self) -> str:
        """Read one connection to its end and return the reason. Raises ChannelEnded if reconnecting is pointless."""
        connection = self._connect()
        self._socket = connection
        last_sign = time.monotonic()
        greeted = False
        try:
            while not self._closing.is_set():
                if self._unacked_since is not None and time.monotonic() - self._unacked_since > ACK_SECONDS:
                    self._ack()
                connection.settimeout(self._quiet if self._unacked_since is None else ACK_SECONDS)
                try:
                    opcode, payload = connection.recv_data()
                except websocket.WebSocketTimeoutException:
                    quiet_for = time.monotonic() - last_sign
                    if quiet_for > MAX_MISSED_HEARTBEATS * self._quiet:
                        return f"the server was silent for {quiet_for:.0f} s"
                    if quiet_for > self._quiet:
                        self._send({"op": "ping"})
                    continue
                last_sign = time.monotonic()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return self._why_closed(payload, greeted)
                with suppress(NotAFrame):
                    frame = Frame.parse(payload)
                    greeted = greeted or frame.event == "connected"
                    self._take(frame)
        finally:
            with suppress(OSError, websocket.WebSocketException):
                connection.close(timeout=0)
        return "closed"

    def _connect(self) -> websocket.WebSocket:
        try:
            token = current_token(self._token)
        except Exception as failed:
            # The token function may fail for a while, for example if a sign-in service is unreachable.
            raise ConnectionError(f"there is no token: {failed!r}") from failed
        try:
            return websocket.create_connection(
                self._url,
                timeout=CONNECT_SECONDS,
                header=[f"Authorization: Bearer {token}"],
                enable_multithread=True,
                redirect_limit=0,
                **self._past_proxies(),
            )
        except websocket.WebSocketBadStatusException as refused:
            if refused.status_code in (401, 403):
                raise ChannelEnded(f"HTTP {refused.status_code}", refused.status_code) from refused
            raise

    def _past_proxies(self) -> dict[str, Any]:
        """Return the options by which a connection to this machine bypasses any proxy that the environment names.

        websocket-client reads `http_no_proxy` only if `http_proxy_host` is given. So a proxy is given, which is never
        used.
        """
        if not is_loopback(self._url):
            return {}
        return {
            "http_proxy_host": "unused",
            "http_proxy_port": 1,
            "http_no_proxy": [urlsplit(self._url).hostname],
        }

    def _why_closed(self, payload: bytes, greeted: bool) -> str:
        """Return the reason in the server's close frame. Raises ChannelEnded if its close code is final."""
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        reason = payload[2:].decode("utf-8", "replace")
        reason_text = f"the server closed the channel: {code} {reason}".rstrip()
        # If the token has expired during the connection, a token function returns a new one, so reconnecting helps.
        replaceable = code == EXPIRED_CODE and greeted and callable(self._token)
        if code in FINAL_CODES and not replaceable:
            raise ChannelEnded(reason_text, code)
        return reason_text

    # --- frames -------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.event == "pong":
            return
        if frame.event == "connected":
            self._on_connected(frame)
        elif frame.event == "resync_required":
            # The next lines were purged, so the channel continues with the oldest line left. The app should reload its state.
            self._last_seq = int(frame.data["oldestSeq"]) - 1
            self._resume()
        elif frame.seq is not None and not self._is_next(frame.seq):
            return
        if self._on_frame is not None:
            self._on_frame(frame)
        if frame.seq is not None:
            # `_last_seq` is set after `on_frame` has returned, so that a line that the app has not handled is sent
            # again.
            self._last_seq = frame.seq
            if self._unacked_since is None:
                self._unacked_since = time.monotonic()
        self._received.add(frame)

    def _on_connected(self, frame: Frame) -> None:
        self._received.connection_error = None
        self._quiet = float(frame.data.get("heartbeatSeconds") or QUIET_SECONDS)
        if self._last_seq is None:
            self._last_seq = int(frame.data["seq"])
        # Resume on the first connection, too, so that no event is lost between `connected` and the live stream.
        self._asked_again_after = None
        self._resume()

    def _is_next(self, seq: int) -> bool:
        """Return whether this is the next line of the log. After a gap, request the missing lines once."""
        last = self._last_seq or 0
        if seq <= last:
            return False
        if seq > last + 1:
            if self._asked_again_after != last:
                self._asked_again_after, self._gap_seen_at = last, seq
                self._resume()
                # Dropped for now, because the server sends this line again after the missing ones.
                return False
            if seq > self._gap_seen_at:
                # A live event arrived before the requested lines, among which the server sends it again.
                return False
            # The requested lines start after the gap: the missing ones were purged.
        return True

    # --- to the server ------------------------------------------------------------------------------------

    def _resume(self) -> None:
        self._send({"op": "resume", "after": self._last_seq})

    def _ack(self) -> None:
        if self._unacked_since is not None and self._send({"op": "ack", "seq": self._last_seq}):
            self._unacked_since = None

    def _send(self, message: dict[str, Any]) -> bool:
        connection = self._socket
        if connection is None:
            return False
        try:
            connection.send(json.dumps(message))
        except (OSError, websocket.WebSocketException):
            return False  # ignored, because the reading thread detects the broken connection and reconnects
        return True
