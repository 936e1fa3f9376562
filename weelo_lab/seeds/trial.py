"""A trial: one script, played in a database without rows, with the invariants checked after each time at which steps are taken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause, text

from weelo_lab.engine import Engine
from weelo_lab.event_log import EventLog

# Importing these modules registers the kinds of steps.
from weelo_lab.seeds import driver_steps, fault_steps, operator_steps, people_steps, script  # noqa: F401
from weelo_lab.seeds.interruptions import Interruptions
from weelo_lab.seeds.script import Step
from weelo_lab.seeds.scripted_faults import ScriptedFaults
from weelo_lab.seeds.stage import HEARTBEAT_MICROS, SETTLED_BY, Stage
from weelo_lab.truths import AT_MOST_ALL_ROUNDS, EFFECTS, TRUTHS, WHEN_AT_REST, violations
from weelo_lab.virtual_clock import SECOND
from weelo_workers.models import Base
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.models.prepared import prepared
from weelo_workers.redis_client import redis

REST_SECONDS = 12 * 3600
"""How long after the last step everything has come to an end: longer than any timer of the default policy."""
NO_WARNING = "no action after a commit has failed"
_ACTION_FAILED = "an action after the commit of a command failed"
ALWAYS = TRUTHS | AT_MOST_ALL_ROUNDS | EFFECTS


# DELETE is faster than TRUNCATE, which makes new files for all tables.
_TABLES = [table.name for table in reversed(Base.metadata.sorted_tables)]
_DELETE_ALL = text("; ".join(f"DELETE FROM {name}" for name in _TABLES))  # noqa: S608 (names of our own tables)
_RESTART_SEQUENCES = text("SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial has shown.

    `broken`: the violated invariants with the rows that violate them. `steps`: how many steps were played before the
    trial ended. `hash`: the hash of the event log. `processor_seconds`: the processor time of the trial's process.
    """

    broken: dict[str, list[dict[str, Any]]]
    steps: int
    commands: int
    faults: int
    hash: str
    processor_seconds: float


def play(steps: list[Step]) -> Verdict:
    """Play one script in this process. Its environment names a database of the lab and a Redis database, which are emptied."""
    began = time.process_time()
    _empty()
    log, faults = EventLog(), ScriptedFaults()
    lab = Engine("script", faults, log)
    interruptions = Interruptions(lab)
    stage = Stage(lab, faults, interruptions)
    stage.set_up()
    broken: dict[str, list[dict[str, Any]]] = {}
    taken = 0
    for number, step in enumerate(steps):
        lab.run(max(SETTLED_BY + round(step["at"] * SECOND), lab.micros))
        # All steps with the same time are played before any of their commands is executed.
        stage.heartbeats_if_due()
        script.take(stage, step)
        taken = number + 1
        is_last_of_its_time = taken == len(steps) or steps[taken]["at"] > step["at"]
        if is_last_of_its_time:
            lab.run(lab.micros)
            broken = _check(ALWAYS)
            if broken:
                break
    if not broken:
        faults.ended = interruptions.ended = True
        for beats in range(1, 4):
            lab.after(beats * HEARTBEAT_MICROS / SECOND, stage.heartbeats)
        lab.run(lab.micros + REST_SECONDS * SECOND)
        broken = _check(ALWAYS | WHEN_AT_REST)
    interruptions.close()
    failed_actions = [{"log": each} for each in lab.close() if each.startswith(_ACTION_FAILED)]
    if failed_actions:
        broken[NO_WARNING] = failed_actions
    return Verdict(
        broken,
        taken,
        lab.commands,
        faults.happened + interruptions.happened,
        log.hash,
        time.process_time() - began,
    )


def _empty() -> None:
    """Delete all rows and keys of an earlier trial, and let all sequences begin anew."""
    with autocommit_engine().connect() as connection:
        connection.execute(_DELETE_ALL)
        connection.execute(_RESTART_SEQUENCES)
    redis().flushdb()


def _check(truths: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return the violated invariants and their rows. If none is violated, one prepared statement suffices."""
    with autocommit_engine().connect() as connection:
        if not connection.execute(_any_violation(tuple(truths.items()))).scalar():
            return {}
        return violations(connection, truths)


@lru_cache(maxsize=2)
def _any_violation(truths: tuple[tuple[str, str], ...]) -> TextClause:
    exist = " OR ".join(f"EXISTS ({query})" for _, query in truths)
    return text(f"SELECT {exist}").execution_options(**prepared("lab_truths"))
