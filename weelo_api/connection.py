"""One authenticated socket: the conversation with one client, a task on the hub's event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weelo_api import auth
from weelo_api.attendance import Attendance
from weelo_api.channel import FORBIDDEN, TOO_SLOW, TRY_AGAIN_LATER, UNAUTHORIZED, Channel, Farewell, Gone
from weelo_api.feed import Feed, ask_log
from weelo_api.frames import Ack, Auth, Beat, Op, Ping, Resume, now, parse, refusal, unlogged
from weelo_api.telemetry import transporter_heartbeat
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.queries.log import extent, newest_seq
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

# A live client that reads, but always too slowly, falls behind by this many lines and is let go.
MAX_BEHIND = 1_000
# Frames outside of the log are of the moment: a client that does not get round to them loses the oldest.
MAX_OF_THE_MOMENT = 100


@dataclass(slots=True)
class Frames:
    """Of all sockets of this process, since it began."""

    sent: int = 0
    failed: int = 0


class Connection:
    def __init__(
        self, channel: Channel, identity: auth.Identity, frames: Frames, attendance: Attendance
    ) -> None:
        self.caller = identity.caller
        self.channel = channel
        self._acked = 0
        self._feed = Feed(identity.caller.id)
        self._expires_at = identity.expires_at
        self._frames = frames
        self._attendance = attendance
        self._of_the_moment: deque[dict[str, Any]] = deque(maxlen=MAX_OF_THE_MOMENT)

    # --- what the hub does ----------------------------------------------------------------------------------

    def hear(self, seq: int, item: dict[str, Any], own: dict[str, Any] | None) -> None:
        """News of a line of this user's log."""
        self._feed.hear(seq, item, own)
        self.channel.wake()

    def hear_of(self, newest: int) -> None:
        """The log goes this far, whatever news came of it."""
        if self._feed.hear_of(newest):
            self.channel.wake()

    def mention(self, frame: dict[str, Any]) -> None:
        """A frame that is no part of the log, to be sent when it is its turn."""
        self._of_the_moment.append(frame)
        self.channel.wake()

    # --- the conversation -----------------------------------------------------------------------------------

    async def hold(self) -> None:
        """From `connected` until it is over. Raises Farewell or Gone, which end it."""
        await self._greet()
        while True:
            await self._listen()
            await self._speak()
            await self.channel.wait(min(self._feed.wait_seconds(), self._seconds_left()))

    async def _greet(self) -> None:
        newest = await ask_log(newest_seq, self.caller.id)
        if newest is None:
            raise Farewell(TRY_AGAIN_LATER, "not available at the moment")
        self._feed.begin_after(newest)
        data = {
            "userId": str(self.caller.id),
            "role": self.caller.role.value,
            "seq": newest,
            "serverTime": now(),
            # Two may be lost before presence ends.
            "heartbeatSeconds": max(1, int(settings().presence_ttl_seconds / 3)),
        }
        await self._send(unlogged("connected", data))

    def _seconds_left(self) -> float:
        return max(0.0, (self._expires_at - datetime.now(UTC)).total_seconds())

    async def _listen(self) -> None:
        while (message := self.channel.take()) is not None:
            try:
                await self._obey(parse(message))
            except Rejected as rejected:
                await self._send(refusal(rejected))
        self._stay()

    def _stay(self) -> None:
        self.channel.stay()
        if self._seconds_left() <= 0:
            raise Farewell(UNAUTHORIZED, "the token has expired")

    async def _speak(self) -> None:
        for _ in range(len(self._of_the_moment)):
            self._stay()
            await self._send(self._of_the_moment.popleft())
        frames = await self._feed.next()
        for frame in frames:
            self._stay()
            await self._send(frame)
            if self.channel.had_to_wait and not self._feed.replaying and self._feed.behind > MAX_BEHIND:
                raise Farewell(TOO_SLOW, "too slow")
        if frames:
            # There may be more, but first see what the client has said meanwhile.
            self.channel.wake()

    async def _send(self, frame: dict[str, Any]) -> None:
        try:
            await self.channel.send(frame)
        except (Farewell, Gone):
            self._frames.failed += 1
            raise
        self._frames.sent += 1

    # --- what clients may say -------------------------------------------------------------------------------

    async def _obey(self, op: Op) -> None:
        match op:
            case Resume():
                await self._resume(op.after)
            case Ack():
                self._ack(op.seq)
            case Beat():
                await self._heartbeat(op)
            case Ping():
                await self._send(unlogged("pong", {"serverTime": now()}))
            case Auth():
                self._renew(op.token)

    async def _resume(self, after: int) -> None:
        kept = await ask_log(extent, self.caller.id)
        if kept is None:
            raise Rejected(Code.SERVICE_UNAVAILABLE, "Resume again in a moment.")
        oldest, newest = kept
        self._feed.hear_of(newest)
        after = min(after, newest)
        if oldest > after + 1:
            await self._send(unlogged("resync_required", {"oldestSeq": oldest}))
        else:
            self._feed.resume_after(after)

    def _ack(self, seq: int) -> None:
        # Nobody has seen what does not exist: an ack from the future would silence the pushes to come.
        seq = min(seq, self._feed.newest)
        if seq > self._acked:
            self._acked = seq
            self._attendance.ack(self.caller.id, seq)

    async def _heartbeat(self, beat: Beat) -> None:
        if self.caller.role not in (Role.TRANSPORTER, Role.DRIVER):
            raise Rejected(Code.FORBIDDEN, "Heartbeats are for transporters and drivers.")
        if self.caller.role is Role.TRANSPORTER:
            try:
                await asyncio.to_thread(transporter_heartbeat, self.caller.id, beat.latitude, beat.longitude)
            except DATABASE_ERRORS as error:
                log.warning("a heartbeat was lost: %s", type(error).__name__)

    def _renew(self, token: str) -> None:
        """A fresh token of the same user lets the socket live on."""
        try:
            identity = auth.authenticate(token)
        except Rejected as rejected:
            raise Farewell(UNAUTHORIZED, rejected.code.title) from None
        if (identity.caller.id, identity.caller.role) != (self.caller.id, self.caller.role):
            raise Farewell(FORBIDDEN, "this token is somebody else's")
        self._expires_at = identity.expires_at
