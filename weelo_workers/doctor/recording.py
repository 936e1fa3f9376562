"""Beat's thread for the checks: runs them every minute and stores their results, from which /metrics is served.

The results are in PostgreSQL, so that every process shows the same ones, and shows them while beat is stopped. A thread
of its own runs the checks, because they must not delay the sweep.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from math import inf

from sqlalchemy import Engine, text

from weelo_workers.doctor.check import CHECKS, EVERY_SECONDS, Check, Examination, Result
from weelo_workers.doctor.examine import examine
from weelo_workers.models.engine import DATABASE_ERRORS

log = logging.getLogger(__name__)

FIRST_AFTER_SECONDS = 10.0
STATEMENT_SECONDS = 5.0
RETRY_SECONDS = 5.0

# If there are two processes of beat, the one whose statement updates the row runs the checks.
_CLAIM = text("""
    INSERT INTO check_runs (id, began_at) VALUES (1, pg_catalog.clock_timestamp())
        ON CONFLICT (id) DO UPDATE SET began_at = EXCLUDED.began_at
     WHERE check_runs.began_at < pg_catalog.clock_timestamp() - make_interval(secs => :pause)
    RETURNING id
""")
_AGES = text("""
    SELECT name, EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - checked_at)::float AS age FROM check_results
""")
_STORE = text("""
    INSERT INTO check_results (name, severity, detail, checked_at)
    VALUES (:name, :severity, :detail, pg_catalog.clock_timestamp())
        ON CONFLICT (name) DO UPDATE
       SET severity = EXCLUDED.severity, detail = EXCLUDED.detail, checked_at = EXCLUDED.checked_at
""")
# A result that is a day old belongs to a check that no running version has.
_DELETE_OLD = text("""
    DELETE FROM check_results WHERE checked_at < pg_catalog.clock_timestamp() - interval '1 day'
""")
_END = text("UPDATE check_runs SET ended_at = pg_catalog.clock_timestamp() WHERE id = 1")


def run_checks(engine: Engine) -> None:
    """Run the checks every minute, and never return. `engine` is used by this thread only.

    The first run is some seconds after the start, when workers have sent their first heartbeats.
    """
    threading.Event().wait(FIRST_AFTER_SECONDS)
    next_run = time.monotonic()
    failed_at: dict[str, float] = {}
    while True:
        try:
            run_once(engine, failed_at=failed_at)
        except DATABASE_ERRORS as error:
            log.warning("the checks wait for the database: %s", str(error).splitlines()[0])
        except Exception:
            log.exception("the checks failed")
        next_run = max(next_run + EVERY_SECONDS, time.monotonic() + RETRY_SECONDS)
        threading.Event().wait(next_run - time.monotonic())


def run_once(
    engine: Engine, *, pause: float = EVERY_SECONDS * 0.9, failed_at: dict[str, float] | None = None
) -> list[Result] | None:
    """Run the checks that are due, store their results and return them; None if another process runs them.

    `pause`: the minimum number of seconds since the last run. A check that could not be run keeps its earlier result.
    `failed_at`: for each check that this process could not run, the time of that attempt (monotonic clock). This
    function reads and updates it, so that a slow check of whole tables that gave no result is not repeated before its
    usual time.
    """
    failed_at = {} if failed_at is None else failed_at
    with engine.begin() as connection:
        if connection.execute(_CLAIM, {"pause": pause}).scalar() is None:
            return None
        ages = {row.name: row.age for row in connection.execute(_AGES)}
    results = examine(Examination(engine, STATEMENT_SECONDS), _due(ages, failed_at))
    with engine.begin() as connection:
        for result in results:
            if result.was_run:
                connection.execute(
                    _STORE,
                    {
                        "name": result.check.name,
                        "severity": result.check.severity.value,
                        "detail": result.detail,
                    },
                )
        connection.execute(_DELETE_OLD)
        connection.execute(_END)
    for result in results:
        failed_at.pop(result.check.name, None)
        if not result.was_run:
            failed_at[result.check.name] = time.monotonic()
            log.warning("%s", result.detail)
    return results


def _due(ages: Mapping[str, float], failed_at: Mapping[str, float]) -> list[Check]:
    """Return the checks that run every minute, and the others whose last result or attempt is old enough."""
    now = time.monotonic()
    return [
        each
        for each in CHECKS.values()
        if each.every_seconds <= EVERY_SECONDS
        or min(ages.get(each.name, inf), now - failed_at.get(each.name, -inf)) >= each.every_seconds
    ]
