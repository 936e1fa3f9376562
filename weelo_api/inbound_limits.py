"""What one client may send: a bound on each message, on frames a second, and on bytes a second."""

from __future__ import annotations

import time
from collections import deque

TOO_BIG, TOO_MANY = 4408, 4429

MAX_FRAME_BYTES = 8 * 1024
MAX_FRAMES_PER_SECOND = 30
# All that so many such frames can be, headers included, and as many pings and pongs.
MAX_BYTES_PER_SECOND = MAX_FRAMES_PER_SECOND * (MAX_FRAME_BYTES + 16 + 140)


class RateCounter:
    """So many a second."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=MAX_FRAMES_PER_SECOND)

    def exceeded(self) -> bool:
        """Count one more."""
        now = time.monotonic()
        full = len(self._last) == MAX_FRAMES_PER_SECOND and now - self._last[0] < 1
        self._last.append(now)
        return full


class InboundLimits:
    """Counts what comes in. `refused` is the close code once it was too much.

    Parts of a message are frames, too: an endless message of empty ones would cost as much. Control frames are
    counted apart, so that answering our pings costs a client none of its own.
    """

    def __init__(self) -> None:
        self.refused: int | None = None
        self._frames = RateCounter()
        self._controls = RateCounter()
        self._bytes = 0
        self._second_began = 0.0

    def count_frame(self) -> None:
        if self._frames.exceeded():
            self._refuse(TOO_MANY)

    def count_control(self) -> None:
        if self._controls.exceeded():
            self._refuse(TOO_MANY)

    def count_message(self, size: int) -> None:
        """`size` bytes of a message so far."""
        if size > MAX_FRAME_BYTES:
            self._refuse(TOO_BIG)

    def count_bytes(self, count: int) -> None:
        now = time.monotonic()
        if now - self._second_began >= 1:
            self._second_began, self._bytes = now, 0
        self._bytes += count
        if self._bytes > MAX_BYTES_PER_SECOND:
            self._refuse(TOO_MANY)

    def _refuse(self, code: int) -> None:
        self.refused = self.refused or code
