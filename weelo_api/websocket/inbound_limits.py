"""Limits on what one WebSocket client may send: bytes per message, frames per second, bytes per second."""

from __future__ import annotations

import time
from collections import deque

from weelo_api.websocket.close_codes import CloseCode

MAX_FRAME_BYTES = 8 * 1024
MAX_FRAMES_PER_SECOND = 30
# A client within the limits on frames cannot exceed this limit: it is the size of MAX_FRAMES_PER_SECOND frames of the
# largest size with their headers (16 bytes), plus that of as many control frames (140 bytes).
MAX_BYTES_PER_SECOND = MAX_FRAMES_PER_SECOND * (MAX_FRAME_BYTES + 16 + 140)


class RateCounter:
    """Counts frames over a sliding second."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=MAX_FRAMES_PER_SECOND)

    def exceeded(self) -> bool:
        """Count a frame and return whether it exceeds the limit."""
        now = time.monotonic()
        full = len(self._last) == MAX_FRAMES_PER_SECOND and now - self._last[0] < 1
        self._last.append(now)
        return full


class InboundLimits:
    """Counts received frames and bytes. `refused` is the close code once a limit is exceeded, and None before.

    Fragments count as frames, because each of them costs the server as much as a frame, even an empty one. Control
    frames are counted separately, so that answers to our pings do not count towards the client's limit on frames.
    """

    def __init__(self) -> None:
        self.refused: CloseCode | None = None
        self._frames = RateCounter()
        self._controls = RateCounter()
        self._bytes = 0
        self._second_began = 0.0

    def count_frame(self) -> None:
        if self._frames.exceeded():
            self._refuse(CloseCode.TOO_MANY)

    def count_control(self) -> None:
        if self._controls.exceeded():
            self._refuse(CloseCode.TOO_MANY)

    def count_message(self, size: int) -> None:
        """Check the size in bytes of a message, which may be incomplete."""
        if size > MAX_FRAME_BYTES:
            self._refuse(CloseCode.TOO_BIG)

    def count_bytes(self, count: int) -> None:
        now = time.monotonic()
        if now - self._second_began >= 1:
            self._second_began, self._bytes = now, 0
        self._bytes += count
        if self._bytes > MAX_BYTES_PER_SECOND:
            self._refuse(CloseCode.TOO_MANY)

    def _refuse(self, code: CloseCode) -> None:
        self.refused = self.refused or code
