"""What one client may send: a bound on each frame, on frames a second, and on bytes a second."""

from __future__ import annotations

import time
from collections import deque

TOO_BIG, TOO_MANY = 4408, 4429

MAX_FRAME_BYTES = 8 * 1024
MAX_FRAMES_PER_SECOND = 30
# All that so many such frames can be, headers included: a flood of control frames ends here too.
MAX_BYTES_PER_SECOND = MAX_FRAMES_PER_SECOND * (MAX_FRAME_BYTES + 16)


class Intake:
    """Counts what comes in. `refused` is the close code once it was too much."""

    def __init__(self) -> None:
        self.refused: int | None = None
        self._frames: deque[float] = deque(maxlen=MAX_FRAMES_PER_SECOND)
        self._bytes = 0
        self._second_began = 0.0

    def count_frame(self, size: int, *, finished: bool) -> None:
        """`size` bytes of a frame so far."""
        if size > MAX_FRAME_BYTES:
            self._refuse(TOO_BIG)
        if finished:
            now = time.monotonic()
            if len(self._frames) == MAX_FRAMES_PER_SECOND and now - self._frames[0] < 1:
                self._refuse(TOO_MANY)
            self._frames.append(now)

    def count_bytes(self, count: int) -> None:
        now = time.monotonic()
        if now - self._second_began >= 1:
            self._second_began, self._bytes = now, 0
        self._bytes += count
        if self._bytes > MAX_BYTES_PER_SECOND:
            self._refuse(TOO_MANY)

    def _refuse(self, code: int) -> None:
        self.refused = self.refused or code
