"""The session of one authenticated socket: a task on the hub's event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from weelo_api import auth
from weelo_api.telemetry import transporter_heartbeat
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.log_cursor import LogCursor, query_log
from weelo_api.websocket.messages import (
    Ack,
    Auth,
    Beat,
    Connected,
    Op,
    Ping,
    Pong,
    Resume,
    ResyncRequired,
    ephemeral,
    parse,
    refusal,
)
from weelo_api.websocket.session_registry import SessionRegistry
from weelo_api.websocket.transport import Disconnect, PeerGone, WebSocketTransport
from weelo_workers import clock
from weelo_workers.contracts.offers import ACCEPTS
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.queries.log import bounds, newest_seq
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

# A client that reads too slowly is disconnected when it is this many lines behind.
MAX_BEHIND = 1_000

_OUTCOME = "command_settled"
# At most this many measured times of accepts are kept until they are published, which happens twice a second.
MAX_UNPUBLISHED = 10_000
# At most this many frames outside the log wait to be sent. They are soon out of date, so the oldest are dropped.
MAX_EPHEMERAL = 100


@dataclass(slots=True)
class FrameCounters:
    """Counts the frames of all sockets of this process since its start."""

    sent: int = 0
    failed: int = 0
    accept_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_UNPUBLISHED))
    """Seconds from storing an accept to writing the frame with its outcome, for outcomes that are not published yet."""


async def identify(token: str) -> auth.Identity:
    """Return the identity in a token. Raises Disconnect."""
    try:
        return await auth.authenticate_on_loop(token)
    except Rejected as rejected:
        again = rejected.code is Code.SERVICE_UNAVAILABLE
        raise Disconnect(
            CloseCode.TRY_AGAIN_LATER if again else CloseCode.UNAUTHORIZED, rejected.code.title
        ) from None


class SocketSession:
    def __init__(
        self,
        transport: WebSocketTransport,
        identity: auth.Identity,
        frames: FrameCounters,
        registry: SessionRegistry,
    ) -> None:
        self.caller = identity.caller
        self.transport = transport
        self._acked = 0
        self._opened_at = clock.now()
        self._log_cursor = LogCursor(identity.caller.id)
        self._expires_at = identity.expires_at
        self._frames = frames
        self._registry = registry
        self._ephemeral_frames: deque[dict[str, Any]] = deque(maxlen=MAX_EPHEMERAL)

    # --- called by the hub ----------------------------------------------------------------------------------

    def receive(self, seq: int, item: dict[str, Any], own: dict[str, Any] | None) -> None:
        """Accept a live event of this user's log."""
        self._log_cursor.receive(seq, item, own)
        self.transport.wake()

    def note_newest(self, newest: int) -> None:
        """Record that the log reaches this `seq`."""
        if self._log_cursor.note_newest(newest):
            self.transport.wake()

    def send_ephemeral(self, frame: dict[str, Any]) -> None:
        """Queue a frame that is no part of the log."""
        self._ephemeral_frames.append(frame)
        self.transport.wake()

    # --- running -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the client, beginning with the frame `connected`. Ends only by raising Disconnect or PeerGone."""
        await self._greet()
        while True:
            await self._read()
            await self._write()
            await self.transport.wait(min(self._log_cursor.wait_seconds(), self._seconds_left()))

    async def _greet(self) -> None:
        newest = await query_log(newest_seq, self.caller.id)
        if newest is None:
            raise Disconnect(CloseCode.TRY_AGAIN_LATER, "not available at the moment")
        self._log_cursor.begin_after(newest)
        connected = Connected(
            user_id=self.caller.id,
            role=self.caller.role,
            seq=newest,
            server_time=clock.now(),
            # With this interval a transporter stays present after two lost heartbeats.
            heartbeat_seconds=max(1, int(settings().presence_ttl_seconds / 3)),
        )
        await self._send(ephemeral("connected", connected.json_dict()))

    def _seconds_left(self) -> float:
        return max(0.0, (self._expires_at - datetime.now(UTC)).total_seconds())

    async def _read(self) -> None:
        while (message := self.transport.next_message()) is not None:
            try:
                await self._handle(parse(message))
            except Rejected as rejected:
                await self._send(refusal(rejected))
        self._raise_if_ended()

    def _raise_if_ended(self) -> None:
        self.transport.raise_if_closing()
        if self._seconds_left() <= 0:
            raise Disconnect(CloseCode.UNAUTHORIZED, "the token has expired")

    async def _write(self) -> None:
        for _ in range(len(self._ephemeral_frames)):
            self._raise_if_ended()
            await self._send(self._ephemeral_frames.popleft())
        frames = await self._log_cursor.next()
        for frame in frames:
            self._raise_if_ended()
            await self._send(frame)
            self._time_accept(frame)
            if (
                self.transport.was_blocked
                and not self._log_cursor.replaying
                and self._log_cursor.behind > MAX_BEHIND
            ):
                raise Disconnect(CloseCode.TOO_SLOW, "too slow")
        if frames:
            # There may be more frames to send, but the client's messages are handled first.
            self.transport.wake()

    async def _send(self, frame: dict[str, Any]) -> None:
        try:
            await self.transport.send(frame)
        except (Disconnect, PeerGone):
            self._frames.failed += 1
            raise
        self._frames.sent += 1

    def _time_accept(self, frame: dict[str, Any]) -> None:
        """Record how long the transporter has waited, if the frame is the outcome of an accept.

        An accept that was stored before the socket was opened is left out, because its outcome had to wait for the
        client.
        """
        if frame["event"] != _OUTCOME or frame["data"]["command"] not in ACCEPTS:
            return
        received_at = datetime.fromisoformat(frame["data"]["receivedAt"])
        if received_at >= self._opened_at:
            waited = (clock.now() - received_at).total_seconds()
            self._frames.accept_seconds.append(max(0.0, waited))

    # --- ops ------------------------------------------------------------------------------------------------

    async def _handle(self, op: Op) -> None:
        match op:
            case Resume():
                await self._resume(op.after)
            case Ack():
                self._ack(op.seq)
            case Beat():
                await self._heartbeat(op)
            case Ping():
                await self._send(ephemeral("pong", Pong(server_time=clock.now()).json_dict()))
            case Auth():
                await self._renew(op.token)

    async def _resume(self, after: int) -> None:
        log_bounds = await query_log(bounds, self.caller.id)
        if log_bounds is None:
            raise Rejected(Code.SERVICE_UNAVAILABLE, "Resume again in a moment.")
        oldest, newest = log_bounds
        self._log_cursor.note_newest(newest)
        after = min(after, newest)
        if oldest > after + 1:
            await self._send(ephemeral("resync_required", ResyncRequired(oldest_seq=oldest).json_dict()))
        else:
            self._log_cursor.resume_after(after)

    def _ack(self, seq: int) -> None:
        # An ack beyond the newest event would suppress the pushes for later events.
        seq = min(seq, self._log_cursor.newest)
        if seq > self._acked:
            self._acked = seq
            self._registry.ack(self.caller.id, seq)

    async def _heartbeat(self, beat: Beat) -> None:
        if self.caller.role not in (Role.TRANSPORTER, Role.DRIVER):
            raise Rejected(Code.FORBIDDEN, "Heartbeats are for transporters and drivers.")
        if self.caller.role is Role.TRANSPORTER:
            try:
                await asyncio.to_thread(transporter_heartbeat, self.caller.id, beat.latitude, beat.longitude)
            except DATABASE_ERRORS as error:
                log.warning("a heartbeat could not be stored: %s", type(error).__name__)

    async def _renew(self, token: str) -> None:
        """Extend the session by a fresh token of the same user. Raises Disconnect."""
        identity = await identify(token)
        if (identity.caller.id, identity.caller.role) != (self.caller.id, self.caller.role):
            raise Disconnect(CloseCode.FORBIDDEN, "this token is another user's")
        self._expires_at = identity.expires_at
