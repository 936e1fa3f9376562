"""The clock of the system. In a sandbox it can be moved; everywhere else it is the plain clock of the machine.

SQL reads it with `now()`, `statement_timestamp()` and `clock_timestamp()`, written without a schema: connections of a
sandbox find functions of these names that add the offset (`models/sandbox.py`). Scripts in Redis read it with LUA_NOW
(`redis_clock.py`). Python calls `now`. Tokens, rate limits, time-outs and the heartbeats of processes use the
plain clock, because they measure real time.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, text

from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.settings import settings

log = logging.getLogger(__name__)

MAX_SKEW_SECONDS = 1.0
"""The difference between the clocks of a machine and of PostgreSQL above which it is reported, by the check `clock-skew` and
by an alert.

A timer may be a second late by its objective (`metrics/counters.py`). A machine whose clock is further behind misses it with
each countdown. NTP keeps clocks within some milliseconds of each other."""

_last_offset = timedelta()


def now() -> datetime:
    """Return the time in UTC. In a sandbox it is read from the database; if that fails, the last known offset is used."""
    plain = datetime.now(UTC)
    if not settings().is_sandbox:
        return plain
    global _last_offset  # noqa: PLW0603 (only a fallback, and only in a sandbox)
    try:
        with autocommit_engine().connect() as connection:
            moved: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    except DATABASE_ERRORS as error:
        log.info("the time of the sandbox cannot be read: %s", error)
        return plain + _last_offset
    _last_offset = moved - plain
    return moved


# The schema pg_catalog is named, because in a sandbox clock_timestamp() without a schema reads the moved clock.
_DATABASE_CLOCK = text("SELECT EXTRACT(EPOCH FROM pg_catalog.clock_timestamp())::float")


def clock_skew(connection: Connection) -> float:
    """Return how far (seconds) the clock of this machine is ahead of PostgreSQL's; negative: behind.

    The error is at most half of the round trip.
    """
    before = time.time()
    there: float = connection.execute(_DATABASE_CLOCK).scalar_one()
    return (before + time.time()) / 2 - there
