"""What need not be remembered is forgotten, in small batches.

Log, mailbox, replays and who was passed over after EVENT_RETENTION_DAYS; broadcasts that are over, with everything of
theirs, after HISTORY_RETENTION_DAYS if that is set. Whoever forgets holds a lock meanwhile: of several, one does.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from sqlalchemy import Engine, TextClause, text

from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import FINAL
from weelo_workers.models.base import quoted
from weelo_workers.models.engine import DATABASE_ERRORS

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
# Of each kind in each minute: forgetting keeps up with writing, and is never what the database is busy with.
SECONDS_EACH = 5.0
_FORGETTING = 0x666F72676574  # any constant will do ("forget" in ASCII)
# All of them compare with statement_timestamp(): an index cannot be searched by what changes meanwhile, as
# clock_timestamp() does, and every minute without anything to forget would read all that there is.

# A prefix of the order of writing, never a hole in it: one that was told late may be older than those before it, and
# waits for them. Log lines go with their event (ON DELETE CASCADE), and each log stays without a gap from its oldest
# line on. An event may have a thousand lines, hence the small batch.
_EVENTS = text("""
    WITH oldest AS (SELECT id, at, position FROM events ORDER BY position LIMIT :batch)
    DELETE FROM events
     WHERE id IN (SELECT id FROM oldest
                   WHERE position < COALESCE((SELECT min(position) FROM oldest
                                               WHERE at >= statement_timestamp() - make_interval(days => :days)),
                                             9223372036854775807))
""")

# A key names the same command for at least 24 h (CONTRACT section 3), and EVENT_RETENTION_DAYS is at least one day.
_SETTLED = text("""
    DELETE FROM mailbox
     WHERE id IN (SELECT id FROM mailbox
                   WHERE settled_at < statement_timestamp() - make_interval(days => :days)
                   ORDER BY settled_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")

_REPLAYS = text("""
    DELETE FROM replays
     WHERE command_id IN (SELECT command_id FROM replays
                           WHERE at < statement_timestamp() - make_interval(days => :days)
                           ORDER BY at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")

_PASSED_OVER = text("""
    DELETE FROM passed_over
     WHERE ctid = ANY(ARRAY(SELECT ctid FROM passed_over
                             WHERE at < statement_timestamp() - make_interval(days => :days)
                             ORDER BY at LIMIT :batch))
""")

# Slots, holds, recipients, history and assignments go with it. One that has ended for its customer may have trucks on
# the road yet: it stays as long as they drive.
_HISTORY = text(f"""
    DELETE FROM broadcasts
     WHERE id IN (SELECT id FROM broadcasts b
                   WHERE status IN ({quoted(FINAL)})
                     AND state_changed_at < statement_timestamp() - make_interval(days => :days)
                     AND NOT EXISTS (SELECT 1 FROM assignments a
                                      WHERE a.broadcast_id = b.id AND a.status IN ({quoted(LIVE)}))
                   ORDER BY state_changed_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True)
class PurgeRule:
    name: str
    statement: TextClause
    batch: int


AGING = (
    PurgeRule("events", _EVENTS, 50),
    PurgeRule("settled", _SETTLED, 1_000),
    PurgeRule("replays", _REPLAYS, 1_000),
    PurgeRule("passed over", _PASSED_OVER, 1_000),
)
HISTORY = PurgeRule("history", _HISTORY, 50)  # each may have a thousand recipients


def run_purger(engine: Engine, days: int, history_days: int) -> None:
    """A thread's work, for as long as the process lives."""
    while True:
        purge_expired(engine, days, history_days)
        threading.Event().wait(EVERY_SECONDS)


def purge_expired(engine: Engine, days: int, history_days: int = 0) -> int:
    """Delete what is older than `days`, and finished broadcasts older than `history_days` (0: none).

    Returns how many events, mailbox rows and so on were forgotten; what goes with them is not counted.
    """
    forgotten = 0
    for kind in (*AGING, HISTORY):
        age = history_days if kind is HISTORY else days
        try:
            forgotten += _purge(engine, kind, age) if age else 0
        except DATABASE_ERRORS as error:
            log.warning("purging %s waits for the database: %s", kind.name, str(error).splitlines()[0])
    return forgotten


def _purge(engine: Engine, rule: PurgeRule, days: int) -> int:
    forgotten = 0
    give_way_at = time.monotonic() + SECONDS_EACH
    while True:
        with engine.begin() as connection:
            ours = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _FORGETTING})
            if not ours.scalar_one():
                break
            deleted = connection.execute(rule.statement, {"days": days, "batch": rule.batch}).rowcount
        forgotten += deleted
        if deleted < rule.batch or time.monotonic() >= give_way_at:
            break
    return forgotten
