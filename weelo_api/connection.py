"""One authenticated socket: a conversation held by one thread. Others only leave word and wake it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weelo_api import auth
from weelo_api.channel import INTERNAL_ERROR, TOO_SLOW, TRY_AGAIN_LATER, UNAUTHORIZED, Channel, Farewell, Gone
from weelo_api.feed import Feed
from weelo_api.frames import Ack, Auth, Beat, Op, Ping, Resume, now, parse, refusal, unlogged
from weelo_api.telemetry import transporter_heartbeat
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import DATABASE_ERRORS, autocommitting
from weelo_workers.queries.log import newest_seq, oldest_seq
from weelo_workers.settings import settings

if TYPE_CHECKING:
    from weelo_api.hub import Hub

log = logging.getLogger(__name__)

# A live client that reads, but always too slowly, falls behind by this many lines and is let go.
MAX_BEHIND = 1_000
# Frames outside of the log are of the moment: a client that does not get round to them loses the oldest.
MAX_ASIDES = 100


class Connection:
    def __init__(self, channel: Channel, identity: auth.Identity, hub: Hub) -> None:
        self.caller = identity.caller
        self.feed = Feed(identity.caller.id)
        self.acked = 0
        self._channel = channel
        self._expires_at = identity.expires_at
        self._hub = hub
        self._asides: deque[dict[str, Any]] = deque(maxlen=MAX_ASIDES)
        self._leaving: Farewell | None = None
        self.over = threading.Event()
        """Set when everything of this socket has ended."""

    # --- what other threads may do --------------------------------------------------------------------------

    def offer(self, seq: int, item: dict[str, Any], own: dict[str, Any] | None) -> None:
        """News of a line of this user's log."""
        self.feed.offer(seq, item, own)
        self._channel.wake()

    def hear_of(self, newest: int) -> None:
        """The log goes this far, whatever news came of it."""
        if self.feed.hear_of(newest):
            self._channel.wake()

    def aside(self, frame: dict[str, Any]) -> None:
        """A frame that is no part of the log, to be sent when it is the thread's turn."""
        self._asides.append(frame)
        self._channel.wake()

    def leave(self, code: int, reason: str) -> None:
        """Ask the thread to close the socket. The first reason counts."""
        self._leaving = self._leaving or Farewell(code, reason)
        self._channel.wake()

    def hang_up(self) -> None:
        """Break off, for threads that are stuck in sending to a client that does not read."""
        self._channel.hang_up()

    # --- the conversation -----------------------------------------------------------------------------------

    def hold(self) -> None:
        """From `connected` to the close frame; raises nothing."""
        try:
            self._greet()
            while True:
                self._listen()
                self._speak()
                self._channel.wait(min(self.feed.wait_seconds(), self._seconds_left()))
        except Farewell as farewell:
            self._channel.close(farewell.code, farewell.reason)
        except Gone:
            self._channel.end()
        except Exception:
            log.exception("a socket failed")
            self._channel.close(INTERNAL_ERROR, "something went wrong on our side")

    def _greet(self) -> None:
        try:
            with autocommitting().connect() as connection:
                newest = newest_seq(connection, self.caller.id)
        except DATABASE_ERRORS:
            raise Farewell(TRY_AGAIN_LATER, "not available at the moment") from None
        self.feed.begin_after(newest)
        data = {
            "userId": str(self.caller.id),
            "role": self.caller.role.value,
            "seq": newest,
            "serverTime": now(),
            # Three may be lost before presence ends.
            "heartbeatSeconds": max(1, int(settings().presence_ttl_seconds / 3)),
        }
        self._channel.send(unlogged("connected", data))

    def _seconds_left(self) -> float:
        return max(0.0, (self._expires_at - datetime.now(UTC)).total_seconds())

    def _listen(self) -> None:
        for message in self._channel.take():
            try:
                self._obey(parse(message))
            except Rejected as rejected:
                self._channel.send(refusal(rejected))
        self._stay()

    def _stay(self) -> None:
        if self._leaving:
            raise self._leaving
        if self._seconds_left() <= 0:
            raise Farewell(UNAUTHORIZED, "the token has expired")

    def _speak(self) -> None:
        while self._asides:
            self._send(self._asides.popleft())
        frames = self.feed.next()
        for frame in frames:
            self._stay()
            self._send(frame)
            if self._channel.had_to_wait and not self.feed.replaying and self.feed.behind > MAX_BEHIND:
                raise Farewell(TOO_SLOW, "too slow")
        if frames:
            # There may be more, but first see what the client has said meanwhile.
            self._channel.wake()

    def _send(self, frame: dict[str, Any]) -> None:
        self._channel.send(frame)
        self._hub.frames_sent.add()

    # --- what clients may say -------------------------------------------------------------------------------

    def _obey(self, op: Op) -> None:
        match op:
            case Resume():
                self._resume(op.after)
            case Ack():
                self._ack(op.seq)
            case Beat():
                self._heartbeat(op)
            case Ping():
                self._channel.send(unlogged("pong", {"serverTime": now()}))
            case Auth():
                self._renew(op.token)

    def _resume(self, after: int) -> None:
        try:
            with autocommitting().connect() as connection:
                newest = newest_seq(connection, self.caller.id)
                oldest = oldest_seq(connection, self.caller.id)
        except DATABASE_ERRORS:
            raise Rejected(Code.SERVICE_UNAVAILABLE, "Resume again in a moment.") from None
        self.feed.hear_of(newest)
        after = min(after, newest)
        # With nothing left of the log, the oldest that can be had is the next that will be written.
        oldest = newest + 1 if oldest is None else oldest
        if oldest > after + 1:
            self._channel.send(unlogged("resync_required", {"oldestSeq": oldest}))
        else:
            self.feed.resume_after(after)

    def _ack(self, seq: int) -> None:
        # Nobody has seen what does not exist: an ack from the future would silence the pushes to come.
        seq = min(seq, self.feed.newest)
        if seq > self.acked:
            self.acked = seq
            self._hub.attendance.ack(self.caller.id, seq)

    def _heartbeat(self, beat: Beat) -> None:
        if self.caller.role not in (Role.TRANSPORTER, Role.DRIVER):
            raise Rejected(Code.FORBIDDEN, "Heartbeats are for transporters and drivers.")
        if self.caller.role is Role.TRANSPORTER:
            try:
                transporter_heartbeat(self.caller.id, beat.latitude, beat.longitude)
            except DATABASE_ERRORS as error:
                log.warning("a heartbeat was lost: %s", type(error).__name__)

    def _renew(self, token: str) -> None:
        """A fresh token of the same user lets the socket live on."""
        try:
            identity = auth.authenticate(token)
        except Rejected as rejected:
            raise Farewell(UNAUTHORIZED, rejected.code.title) from None
        if (identity.caller.id, identity.caller.role) != (self.caller.id, self.caller.role):
            raise Farewell(UNAUTHORIZED, "this token is somebody else's")
        self._expires_at = identity.expires_at
