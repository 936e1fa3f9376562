"""Outages of a server on which this process depends: one log line when an outage begins, and one when it ends."""

from __future__ import annotations

import logging
import math
import threading
import time

log = logging.getLogger(__name__)

AT_MOST_EVERY_SECONDS = 1.0
"""The limit on logged outages of one server. One that accepts connections and then ends them has many outages a second."""


class Outage:
    """Stores whether one server can be reached, and logs the changes. Its methods are cheap, and any thread may call them."""

    def __init__(self, server: str) -> None:
        """`server`: its name in log lines, such as PostgreSQL."""
        self._lost = f"{server} cannot be reached: %s"
        self._back = f"{server} can be reached again after %.1f s"
        self._since: float | None = None
        self._logged_at = -math.inf
        self._is_logged = False
        self._lock = threading.Lock()

    def failed(self, reason: object) -> None:
        """Record that the server did not answer. `reason`: a text without passwords, of which the first line is logged."""
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since, self._is_logged = now, False
            # An outage that begins soon after another one is logged later, if it lasts.
            if self._is_logged or now < self._logged_at + AT_MOST_EVERY_SECONDS:
                return
            self._is_logged, self._logged_at = True, now
        log.warning(self._lost, (str(reason).strip().splitlines() or ["no reason is known"])[0])

    def answered(self) -> float | None:
        """Record that the server has answered. Return the length of the outage in seconds; None if there was none."""
        if self._since is None:  # The usual case needs no lock.
            return None
        with self._lock:
            since, self._since = self._since, None
            is_logged = self._is_logged
        if since is None:
            return None
        seconds = time.monotonic() - since
        if is_logged:
            log.warning(self._back, seconds)
        return seconds
