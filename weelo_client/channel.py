"""The socket: what concerns one user, live, in order, each event once, however often the line breaks."""

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

from weelo_client.connection import PREFIX, Token, back_off, current_token, is_loopback
from weelo_client.errors import ChannelEnded
from weelo_client.frames import Frame, FrameBuffer, NotAFrame, Predicate

CONNECT_SECONDS = 5.0
# Well below the 3 s after which the server falls back to a push; and by time alone, since it takes 30 messages a
# second and no more, however many lines it sends meanwhile.
ACK_SECONDS = 0.3
QUIET_SECONDS = 20.0  # until the server has said how often it wants to hear from us
MAX_MISSED_HEARTBEATS = 3  # so many quiet times without a sign of life, and the connection counts as dead
STEADY_SECONDS = 10.0  # a connection that lasted for longer was a good one, whatever ended it

# Reconnecting would not help: bad or expired token, one of somebody else, or newer sockets of the same user took this
# one's place (two apps that both insisted would throw one another out for ever).
EXPIRED_CODE = 4401
FINAL_CODES = {EXPIRED_CODE, 4403, 4409}


class Channel:
    """Reads frames in a thread of its own, remembers them, acknowledges them, and comes back when cut off.

    - `after`: the last `seq` you have stored, in order to hear everything since; None begins with now.
    - `remember`: so many frames are kept for `frames`, `wait_for` and iterating, the newest ones.
    - `on_frame` is called in the reading thread for every new frame, in order; a line counts as heard, and is
      acknowledged, when it returns. Store it there, and be quick: a server that waits for 10 s hangs up.

        with client.listen() as channel:
            channel.wait_for("truck_confirmed", within=60, broadcastId=broadcast["id"])

    It comes back after 0.1 s, longer each time up to 15 s, with jitter. It does not come back, and whoever waits
    gets ChannelEnded, when the server turned it away for good (see there), or when `on_frame` raised.
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
        self._unacked_since: float | None = None
        self._quiet = QUIET_SECONDS
        self._on_frame = on_frame
        self._heard = FrameBuffer(remember)
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
        """Everything up to here has been heard: keep it, and give it as `after` when your app starts again."""
        return self._last_seq or 0

    def wait_for(self, wanted: str | Predicate, *, within: float, **data: Any) -> Frame:
        """The first frame heard, earlier or within so many seconds, of that event name (or for which `wanted`
        is true) and whose data has these values. Raises FrameTimeout (which says what came instead, and what keeps
        the line down if it is) or ChannelEnded."""
        return self._heard.wait_for(wanted, within=within, **data)

    def __iter__(self) -> Iterator[Frame]:
        """Every frame, from the first remembered on, waiting for more until the channel is closed. Who falls
        behind by more than `remember` misses the oldest; `on_frame` misses nothing."""
        return self._heard.follow()

    def heartbeat(self, latitude: float, longitude: float) -> bool:
        """Still here, and here (transporter, driver). False while cut off: the next one makes up for it."""
        return self._say({"op": "heartbeat", "latitude": latitude, "longitude": longitude})

    def renew(self, token: Token | None = None) -> bool:
        """Show a fresh token on the living socket, before the old one expires: given here, or from the function
        that the client was given. Not needed with such a function: it is asked at each return, and the server
        hangs up when a token expires. False while cut off: then the next connection shows it."""
        if token is not None:
            self._token = token
        return self._say({"op": "auth", "token": current_token(self._token)})

    def close(self) -> None:
        """Acknowledge and hang up. What was heard can still be read."""
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
            began, heard_before = time.monotonic(), self._last_seq
            try:
                self._heard.connection_error = self._read_one_connection()
            except ChannelEnded as turned_away:
                self._heard.end(turned_away)
                return
            except (OSError, websocket.WebSocketException) as cut_off:
                self._heard.connection_error = str(cut_off) or type(cut_off).__name__
            except Exception as defect:
                # Ours or of `on_frame`: whoever waits shall not wait for a thread that is gone.
                self._heard.end(ChannelEnded(f"reading failed: {defect!r}"))
                raise
            finally:
                self._line = None
            # A greeting is no success: whoever is let in and thrown out again must not hammer at the door.
            steady = time.monotonic() - began > STEADY_SECONDS or self._last_seq != heard_before
            attempt = 0 if steady else attempt + 1
            if not self._closing.is_set():
                self.reconnects += 1
                self._closing.wait(back_off(attempt, longest=15.0))
        self._heard.end(ChannelEnded("closed"))

    def _read_one_connection(self) -> str:
        """Until it is dead: returns of what. Raises ChannelEnded when coming back is pointless."""
        line = self._connect()
        self._line = line
        last_sign = time.monotonic()
        greeted = False
        try:
            while not self._closing.is_set():
                if self._unacked_since is not None and time.monotonic() - self._unacked_since > ACK_SECONDS:
                    self._ack()
                line.settimeout(self._quiet if self._unacked_since is None else ACK_SECONDS)
                try:
                    opcode, payload = line.recv_data()
                except websocket.WebSocketTimeoutException:
                    silent = time.monotonic() - last_sign
                    if silent > MAX_MISSED_HEARTBEATS * self._quiet:
                        return f"the server was silent for {silent:.0f} s"
                    if silent > self._quiet:
                        self._say({"op": "ping"})
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
                line.close(timeout=0)
        return "closed"

    def _connect(self) -> websocket.WebSocket:
        try:
            token = current_token(self._token)
        except Exception as failed:
            # What it comes from may be away just as the server is.
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
        """Return the options that keep a connection to this machine away from a proxy that the environment names.

        websocket-client reads `http_no_proxy` only if `http_proxy_host` is given. The proxy named here is never used.
        """
        if not is_loopback(self._url):
            return {}
        return {
            "http_proxy_host": "unused",
            "http_proxy_port": 1,
            "http_no_proxy": [urlsplit(self._url).hostname],
        }

    def _why_closed(self, payload: bytes, greeted: bool) -> str:
        """What the server's close frame says. Raises ChannelEnded if that is final."""
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        reason = payload[2:].decode("utf-8", "replace")
        said = f"the server closed the channel: {code} {reason}".rstrip()
        # What has expired meanwhile is replaced if there is a function that returns a fresh one.
        replaceable = code == EXPIRED_CODE and greeted and callable(self._token)
        if code in FINAL_CODES and not replaceable:
            raise ChannelEnded(said, code)
        return said

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
        if self._on_frame is not None:
            self._on_frame(frame)
        if frame.seq is not None:
            # Only now: what the app is not done with is not acknowledged, and would come again.
            self._last_seq = frame.seq
            if self._unacked_since is None:
                self._unacked_since = time.monotonic()
        self._heard.add(frame)

    def _on_connected(self, frame: Frame) -> None:
        self._heard.connection_error = None
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
        return True

    # --- to the server ------------------------------------------------------------------------------------

    def _resume(self) -> None:
        self._say({"op": "resume", "after": self._last_seq})

    def _ack(self) -> None:
        if self._unacked_since is not None and self._say({"op": "ack", "seq": self._last_seq}):
            self._unacked_since = None

    def _say(self, message: dict[str, Any]) -> bool:
        line = self._line
        if line is None:
            return False
        try:
            line.send(json.dumps(message))
        except (OSError, websocket.WebSocketException):
            return False  # the reading thread notices and comes back
        return True
