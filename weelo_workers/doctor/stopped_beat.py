"""The log lines of a beat that has stopped: one when beat is found stopped, and one when it sweeps again.

A stopped process cannot log, so the workers of the queue `timers` watch beat.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import Engine

from weelo_workers import forking
from weelo_workers.doctor.checks.processes import late_sweep
from weelo_workers.models.engine import DATABASE_ERRORS, connect
from weelo_workers.queries.health import seconds_since_sweep
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 5.0


class StoppedBeatLog:
    """Stores whether beat sweeps, and logs the changes."""

    def __init__(self) -> None:
        self._was_late = self._is_logged = False

    def note(self, seconds: float | None) -> None:
        """Record the time since the last sweep (None: there was none, as in a system that starts), and log a change."""
        why = late_sweep(seconds) if seconds is not None else None
        # Beat counts as stopped only after two late observations in a row: one observation may be made after an outage
        # of the database ends and before beat sweeps again.
        if why and self._was_late and not self._is_logged:
            self._is_logged = True
            log.warning("%s; lost messages and late timers are not executed", why)
        elif not why and self._is_logged:
            self._is_logged = False
            log.warning("beat sweeps again")
        self._was_late = why is not None


def start_watching() -> None:
    """Start a thread that checks every few seconds whether beat sweeps, for as long as the process runs."""
    # The thread has a connection of its own, because it may wait for a database that hangs.
    engine = connect(
        settings().database_url, pool_size=1, isolation="AUTOCOMMIT", sandbox=settings().is_sandbox
    )
    threading.Thread(target=_watch, args=(engine,), name="watch of beat", daemon=True).start()


def _watch(engine: Engine) -> None:
    seen = StoppedBeatLog()
    while True:
        try:
            with forking.delayed(), engine.connect() as connection:
                seconds = seconds_since_sweep(connection)
        except DATABASE_ERRORS:
            pass  # an outage of the database explains why beat does not sweep, and is logged elsewhere
        else:
            seen.note(seconds)
        time.sleep(LOOK_EVERY_SECONDS)
