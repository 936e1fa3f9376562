"""Outages of a server on which this process depends: one log line when an outage begins, and one when it ends."""

from __future__ import annotations

import logging
import math
import threading
import time

log = logging.getLogger(__name__)

AT_MOST_EVERY_SECONDS = 1.0
"""The shortest time between two logged outages of one server: one that accepts and ends connections has many a
second."""

UNKNOWN_FROM_SECONDS = 10.0
"""If a server was not used for longer than this before it answered, it may have been back much earlier, which the log
line then states."""


class Outage:
    """Stores whether one server can be reached, and logs the changes. Its methods are cheap, and any thread may call them."""

    def __init__(self, server: str) -> None:
        """`server`: its name in log lines, such as PostgreSQL."""
        self._lost = f"{server} cannot be reached: %s"
        self._back = f"{server} can be reached again after %.1f s"
        self._back_between = f"{server} can be reached again after %.1f to %.1f s: it was not used in between"
        self._since: float | None = None
        self._failed_at = 0.0
        self._logged_at = -math.inf
        self._is_logged = False
        self._lock = threading.Lock()

    def failed(self, reason: object, *, waited: float = 0.0) -> None:
        """Record that the server did not answer.

        `reason`: a text without passwords; its first line is logged. `waited`: how long (seconds) the caller has waited.
        """
        with self._lock:
            now = self._failed_at = time.monotonic()
            if self._since is None:
                self._since, self._is_logged = now - waited, False
            # An outage that begins soon after another one is logged later, if it lasts.
            if self._is_logged or now < self._logged_at + AT_MOST_EVERY_SECONDS:
                return
            self._is_logged, self._logged_at = True, now
        log.warning(self._lost, (str(reason).strip().splitlines() or ["no reason is known"])[0])

    def answered(self) -> float | None:
        """Record that the server has answered. Return the length of the outage in seconds; None if there was none."""
        if self._since is None:  # there is usually no outage, and then no lock is taken
            return None
        with self._lock:
            since, self._since = self._since, None
            is_logged, failed_at = self._is_logged, self._failed_at
        if since is None:
            return None
        now = time.monotonic()
        if is_logged and now - failed_at > UNKNOWN_FROM_SECONDS:
            log.warning(self._back_between, failed_at - since, now - since)
        elif is_logged:
            log.warning(self._back, now - since)
        return now - since
