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
_FORGET_EVENTS = text("""
    DELETE FROM events
     WHERE id IN (SELECT id FROM events
                   WHERE at < clock_timestamp() - make_interval(days => :days)
                   ORDER BY at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")

# A key names the same command for at least 24 h (CONTRACT section 3), and EVENT_RETENTION_DAYS is at least one day.
_FORGET_SETTLED = text("""
    DELETE FROM mailbox
     WHERE id IN (SELECT id FROM mailbox
                   WHERE settled_at < clock_timestamp() - make_interval(days => :days)
                   ORDER BY settled_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")

_FORGET_REPLAYS = text("""
    DELETE FROM replays
     WHERE command_id IN (SELECT command_id FROM replays
                           WHERE at < clock_timestamp() - make_interval(days => :days)
                           LIMIT :batch FOR UPDATE SKIP LOCKED)
""")


_FORGET_PASSED_OVER = text("""
    DELETE FROM passed_over
     WHERE ctid = ANY(ARRAY(SELECT ctid FROM passed_over
                             WHERE at < clock_timestamp() - make_interval(days => :days) LIMIT :batch))
""")


def forget_what_is_old(engine: Engine, days: int) -> int:
    """Delete events and settled mailbox rows older than `days`. Returns how many rows were forgotten."""
    forgotten = 0
    try:
        for statement in (_FORGET_EVENTS, _FORGET_SETTLED, _FORGET_REPLAYS, _FORGET_PASSED_OVER):
            for _ in range(MAX_BATCHES):
                with engine.begin() as connection:
                    deleted = connection.execute(statement, {"days": days, "batch": BATCH}).rowcount
                forgotten += deleted
                if deleted < BATCH:
                    break
    except DBAPIError as error:
        log.warning("forgetting waits for the database: %s", str(error).splitlines()[0])
    return forgotten
