"""What need not be remembered is forgotten, in small batches."""

from __future__ import annotations

import logging

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

BATCH = 1_000
# A minute's worth is bounded: forgetting must never be what the database is busy with.
MAX_BATCHES = 20

# Log lines go with their event (ON DELETE CASCADE); a reader behind them is told to start afresh.
_FORGET = text("""
    DELETE FROM events
     WHERE id IN (SELECT id FROM events
                   WHERE at < clock_timestamp() - make_interval(days => :days)
                   ORDER BY at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")


def forget_old_events(engine: Engine, days: int) -> int:
    """Delete events older than `days` from everyone's log. Returns how many events were forgotten."""
    forgotten = 0
    try:
        for _ in range(MAX_BATCHES):
            with engine.begin() as connection:
                deleted = connection.execute(_FORGET, {"days": days, "batch": BATCH}).rowcount
            forgotten += deleted
            if deleted < BATCH:
                break
    except DBAPIError as error:
        log.warning("forgetting waits for the database: %s", str(error).splitlines()[0])
    return forgotten
