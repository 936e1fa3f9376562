"""The purger: deletes old rows in small batches.

Events with their log lines, settled mailbox rows, records of repeated requests, of transporters passed over and of
deliveries to webhooks are deleted after EVENT_RETENTION_DAYS. Finished broadcasts and all that belongs to them are deleted after
HISTORY_RETENTION_DAYS, if that is set. Each batch is deleted under an advisory lock, so that several purgers do not
delete at the same time.
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
FIRST_AFTER_SECONDS = 5.0
SECONDS_EACH = 5.0
"""The time limit for each PurgeRule in each minute.

It is enough to keep up with new rows, and a small load for the database.
"""
_LOCK_KEY = 0x666F72676574
"""The key of the advisory lock: any constant ("forget" in ASCII)."""

# All statements compare with statement_timestamp(). PostgreSQL cannot search an index for clock_timestamp(), whose value
# changes during the statement, and would read the whole table every minute.

# Events are deleted in the order in which they were written, so that each log stays without a gap from its oldest line
# on. So an event that is old enough is kept until all events that were written before it are old enough too. The log
# lines of an event are deleted with it (ON DELETE CASCADE). An event may have a thousand lines, so the batch is small.
_EVENTS = text("""
    WITH oldest AS (SELECT id, at, position FROM events ORDER BY position LIMIT :batch)
    DELETE FROM events
     WHERE id IN (SELECT id FROM oldest
                   WHERE position < COALESCE((SELECT min(position) FROM oldest
                                               WHERE at >= statement_timestamp() - make_interval(days => :days)),
                                             9223372036854775807))
""")

# Settled rows must be kept for at least 24 h, because an `Idempotency-Key` is valid for that time (CONTRACT section 3).
# EVENT_RETENTION_DAYS is at least one day.
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

_WEBHOOK_DELIVERIES = text("""
    DELETE FROM webhook_deliveries
     WHERE id IN (SELECT id FROM webhook_deliveries
                   WHERE at < statement_timestamp() - make_interval(days => :days)
                   ORDER BY at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")

_CONSOLE_SIGN_OUTS = text("""
    DELETE FROM console_sign_outs
     WHERE session_id IN (SELECT session_id FROM console_sign_outs
                           WHERE expires_at < statement_timestamp() - make_interval(days => :days)
                           ORDER BY expires_at LIMIT :batch FOR UPDATE SKIP LOCKED)
""")

# Slots, holds, offers, history and assignments are deleted with the broadcast. A finished broadcast may still have live
# assignments, and is kept until they have ended.
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
    """Which rows of a table to delete. `statement`: deletes one batch, with the parameters `days` and `batch`.

    `which`: the rows in words, and the time from which their age counts.
    """

    name: str
    table: str
    which: str
    statement: TextClause
    batch: int


AGING = (
    PurgeRule("events", "events", "each event, since it happened", _EVENTS, 50),
    PurgeRule(
        "settled",
        "mailbox",
        "each settled command, since its outcome. An unsettled or parked one stays",
        _SETTLED,
        1_000,
    ),
    PurgeRule("replays", "replays", "each record of a repeated request", _REPLAYS, 1_000),
    PurgeRule("passed over", "passed_over", "each transporter that a step passed over", _PASSED_OVER, 1_000),
    PurgeRule(
        "webhook deliveries",
        "webhook_deliveries",
        "each delivery, since its last attempt",
        _WEBHOOK_DELIVERIES,
        1_000,
    ),
    PurgeRule(
        "console sign-outs",
        "console_sign_outs",
        "each sign-out from the console, since its cookie would have ended",
        _CONSOLE_SIGN_OUTS,
        1_000,
    ),
)
# The batch is small, because each broadcast may have a thousand offers.
HISTORY = PurgeRule(
    "history", "broadcasts", "each finished broadcast without a live trip, since its end", _HISTORY, 50
)


KEPT = {
    "users": "for ever: one row per user",
    "transporters": "for ever: one row per transporter",
    "vehicles": "for ever: one row per registration number",
    "drivers": "for ever: one row per driver",
    "log_heads": "for ever: the numbers of a log never begin again",
    "devices": "until the app signs out, FCM reports the device as gone, or the user has ten newer ones",
    "webhooks": "until the owner deletes it",
    "relations": "until both sides and the operators have removed their marks: one row per pair",
    "audit": "for ever, as evidence of what operators did",
    "beat_heartbeats": "a day after the last sweep: one row per process of beat",
    "check_results": "a day after the last run: one row per check of the doctor",
    "check_runs": "for ever: one row",
    "policy_scopes": "for ever: one row per scope",
    "policy_versions": "for ever: which values a broadcast began with stays known",
    "erasures": "for ever: ids, times and numbers, as evidence",
}
"""The tables whose rows no rule deletes, and how long their rows exist."""


def run_purger(engine: Engine, days: int, history_days: int) -> None:
    """Purge every minute, and never return. Run it in a thread of its own.

    The first purge waits some seconds, so that it takes no database connection while the system starts.
    """
    threading.Event().wait(FIRST_AFTER_SECONDS)
    while True:
        purge_expired(engine, days, history_days)
        threading.Event().wait(EVERY_SECONDS)


def purge_expired(engine: Engine, days: int, history_days: int = 0) -> int:
    """Delete rows older than `days`, and finished broadcasts older than `history_days` (0: none).

    Return the number of deleted rows, not counting those that a foreign key deletes with them.
    """
    deleted = 0
    for rule in (*AGING, HISTORY):
        age = history_days if rule is HISTORY else days
        try:
            deleted += _purge(engine, rule, age) if age else 0
        except DATABASE_ERRORS as error:
            log.warning("purging %s waits for the database: %s", rule.name, str(error).splitlines()[0])
    return deleted


def _purge(engine: Engine, rule: PurgeRule, days: int) -> int:
    total = 0
    stop_at = time.monotonic() + SECONDS_EACH
    while True:
        with engine.begin() as connection:
            locked = connection.execute(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            if not locked.scalar_one():
                break
            deleted = connection.execute(rule.statement, {"days": days, "batch": rule.batch}).rowcount
        total += deleted
        if deleted < rule.batch or time.monotonic() >= stop_at:
            break
    return total
