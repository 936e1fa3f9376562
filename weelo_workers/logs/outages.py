"""Outages of a server on which this process depends: one line when the connection is lost, one when it is back."""

from __future__ import annotations

import logging
import math
import threading
import time

log = logging.getLogger(__name__)

AT_MOST_EVERY_SECONDS = 1.0
"""A server that accepts connections and then ends them is lost and back again many times a second."""

UNKNOWN_FROM_SECONDS = 10.0
"""If a server was not used for longer than this before it answered, it may have been back much earlier."""


class Outage:
    """Knows whether one server is away, and logs the changes. Its methods may be called by any thread, and cost next to nothing."""

    def __init__(self, server: str) -> None:
        """`server`: its name in log lines, such as PostgreSQL."""
        self._lost = f"{server} cannot be reached: %s"
        self._back = f"{server} is back; it was away for %.1f s"
        self._back_between = f"{server} is back; it was away for %.1f to %.1f s: it was not used in between"
        self._since: float | None = None
        self._failed_at = 0.0
        self._logged_at = -math.inf
        self._is_logged = False
        self._lock = threading.Lock()

    def failed(self, reason: object, *, waited: float = 0.0) -> None:
        """Note that the server did not answer.

        `reason`: a text without passwords, of which the first line is logged. `waited`: for how long (seconds) already.
        """
        with self._lock:
            self._failed_at = time.monotonic()
            if self._since is not None:
                return
            self._since = self._failed_at - waited
            self._is_logged = self._failed_at >= self._logged_at + AT_MOST_EVERY_SECONDS
            if not self._is_logged:
                return
            self._logged_at = self._failed_at
        log.warning(self._lost, (str(reason).strip().splitlines() or ["no reason is known"])[0])

    def answered(self) -> float | None:
        """Note that the server has answered. Return the seconds that it was away; None if it was not."""
        if self._since is None:  # The usual case needs no lock.
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
