"""Delivers one user's log in order and exactly once, although live events may be repeated, reordered or lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from weelo_api.websocket.messages import ResyncRequired, ephemeral
from weelo_workers.contracts.notifications import frame
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.log import Frame, lines_after

Answer = TypeVar("Answer")

PAGE = 500
# At most this many live events are kept until all earlier ones are sent. Further events are read from the log later.
MAX_PENDING = 1_000
# Two workers may publish lines in reverse order. Most gaps close within this time, so waiting saves a query.
GAP_GRACE_SECONDS = 0.05
RETRY_SECONDS = 0.5
IDLE_SECONDS = 60.0


class LogCursor:
    """A position in one user's log. Events that the live stream does not bring are read from the log in PostgreSQL.

    The primary is read, because on a lagging replica the log would seem to have a gap, or to have been reset.
    """

    def __init__(self, user_id: UUID) -> None:
        self.sent = 0
        self.replaying = False
        self._user_id = user_id
        self._newest = 0
        self._pending: dict[int, tuple[dict[str, Any], dict[str, Any] | None]] = {}
        self._gap_since: float | None = None
        self._not_before = 0.0

    @property
    def newest(self) -> int:
        """The greatest `seq` known to exist."""
        return self._newest

    @property
    def behind(self) -> int:
        return self._newest - self.sent

    def receive(self, seq: int, item: dict[str, Any], own: dict[str, Any] | None) -> None:
        """Keep a live event until all events with a lower `seq` were sent."""
        self._newest = max(self._newest, seq)
        if seq > self.sent and len(self._pending) < MAX_PENDING:
            self._pending[seq] = (item, own)

    def note_newest(self, seq: int) -> bool:
        """Record that the log reaches this `seq`, and return whether there are lines that were not sent."""
        self._newest = max(self._newest, seq)
        return self.behind > 0

    def begin_after(self, seq: int) -> None:
        """Start live delivery after this `seq`."""
        self.note_newest(seq)
        self._sent_up_to(seq)

    def resume_after(self, seq: int) -> None:
        """Continue after this `seq`, which may be before or after the present position.

        The lines after it are due at once, page by page.
        """
        self._sent_up_to(seq)
        self.replaying = self.behind > 0
        self._not_before = 0.0

    async def next(self) -> list[Frame]:
        """Return the frames that are due, and count them as sent.

        If there are none, the caller should wait for `wait_seconds`.
        """
        frames = self._from_live_events()
        if frames or self.behind <= 0:
            self._gap_since = None
            self.replaying = self.replaying and self.behind > 0
            return frames
        now = time.monotonic()
        if self._gap_since is None:
            self._gap_since = now
        if self.wait_seconds() > 0:
            return []
        return await self._from_log()

    def wait_seconds(self) -> float:
        """Return the number of seconds until frames may be due, if no live event arrives before."""
        if self._gap_since is None:
            return IDLE_SECONDS
        due = self._gap_since if self.replaying else self._gap_since + GAP_GRACE_SECONDS
        return max(0.0, max(due, self._not_before) - time.monotonic())

    def _from_live_events(self) -> list[Frame]:
        frames: list[Frame] = []
        while len(frames) < PAGE and (line := self._pending.pop(self.sent + 1, None)):
            self.sent += 1
            frames.append(frame(line[0], self.sent, line[1]))
        return frames

    async def _from_log(self) -> list[Frame]:
        known = self._newest
        frames = await query_log(lines_after, self._user_id, self.sent, PAGE)
        if frames is None:
            self._not_before = time.monotonic() + RETRY_SECONDS
            return []
        # Lines are committed in order, so a missing line below a known one was purged. The client is sent
        # `resync_required` and continues live.
        oldest = frames[0]["seq"] if frames else known + 1
        if oldest > self.sent + 1:
            self._sent_up_to(known)
            return [ephemeral("resync_required", ResyncRequired(oldest_seq=oldest).json_dict())]
        self._sent_up_to(frames[-1]["seq"])
        return frames

    def _sent_up_to(self, seq: int) -> None:
        self.sent = seq
        for old in [each for each in self._pending if each <= seq]:
            del self._pending[old]


async def query_log(question: Callable[..., Answer], *about: Any) -> Answer | None:
    """Run a query of queries/log.py on the primary. Returns None if the database is not available."""

    def ask() -> Answer | None:
        try:
            with autocommit_engine().connect() as connection:
                return question(connection, *about)
        except DATABASE_ERRORS:
            return None

    return await asyncio.to_thread(ask)
