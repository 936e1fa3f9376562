"""Heartbeats of beat: rows in PostgreSQL, because every sweep needs PostgreSQL, and none needs Redis."""

from __future__ import annotations

import logging
import os
import socket
import time

from sqlalchemy import Engine, text

from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

EVERY_SECONDS = 2.0

# In a sandbox, clock_timestamp() without its schema returns the sandbox's clock, which requests can move. A heartbeat
# needs the real time, so the schema is named. The commit does not wait for the disk, because it does no harm if the
# last heartbeat is lost in a crash of the server.
_ASYNCHRONOUS = text("SET LOCAL synchronous_commit = off")
_SWEPT = text("""
    INSERT INTO beat_heartbeats (beat, started_at, swept_at)
    VALUES (:beat, pg_catalog.clock_timestamp() - make_interval(secs => :age), pg_catalog.clock_timestamp())
        ON CONFLICT (beat) DO UPDATE SET swept_at = EXCLUDED.swept_at
""")
_DELETE_OLD = text("""
    DELETE FROM beat_heartbeats WHERE swept_at < pg_catalog.clock_timestamp() - interval '1 day'
""")


class BeatHeartbeats:
    """Writes this process's heartbeat, every two seconds at most."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._beat = f"{socket.gethostname()}:{os.getpid()}"
        self._started = time.monotonic()
        self._next = 0.0
        self.swept_at: float | None = None
        """The end of the last sweep that reached the database (monotonic clock); None before the first."""

    def record_sweep(self) -> None:
        """Record that a sweep has ended. If the database cannot be written, the heartbeat stays as old as it is."""
        now = time.monotonic()
        if now < self._next:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(_ASYNCHRONOUS)
                connection.execute(_SWEPT, {"beat": self._beat, "age": now - self._started})
                if self.swept_at is None:
                    connection.execute(_DELETE_OLD)
        except DATABASE_ERRORS as error:
            log.debug("no heartbeat of beat: %s", str(error).splitlines()[0])
            return
        self._next, self.swept_at = now + EVERY_SECONDS, now


def late_after_seconds() -> float:
    """Return the number of seconds without a sweep after which beat is regarded as stopped.

    It is long enough for one sweep that lasts as long as five pauses between sweeps.
    """
    return 10.0 + 5 * settings().sweep_seconds
