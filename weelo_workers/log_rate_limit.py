"""A logging filter that limits repeated warnings, so that an outage does not fill the log."""

from __future__ import annotations

import logging
import threading
import time


class RateLimitFilter(logging.Filter):
    """Passes one warning per message template and period of `seconds`, and adds to it how many were dropped before."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or record.exc_info:
            return True
        text, now = str(record.msg), time.monotonic()
        with self._lock:
            if now < self._last.get(text, now - self._seconds) + self._seconds:
                self._left_out[text] = self._left_out.get(text, 0) + 1
                return False
            self._last[text] = now
            left_out = self._left_out.pop(text, 0)
        if left_out:
            record.msg = f"{text} (and {left_out} more before)"
        return True
