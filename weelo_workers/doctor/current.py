"""What checks find at present: the findings that beat stored in its last run, and those that any process can see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import RedisError
from sqlalchemy import text

from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor.check import CHECKS, RUNBOOK, Severity
from weelo_workers.doctor.checks.processes import idle_queues, late_sweep
from weelo_workers.doctor.errors import first_line

# This import registers all checks.
from weelo_workers.doctor.examine import examine  # noqa: F401
from weelo_workers.messaging.worker_heartbeats import Consumption, consumption
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.health import seconds_since_sweep
from weelo_workers.with_timeout import PROBE_SECONDS, NoThread, WithTimeout

Read = TypeVar("Read")

_STORED = text("SELECT name, detail FROM check_results WHERE severity = :severity AND detail <> ''")
NO_ANSWER = f"it has not answered within {PROBE_SECONDS:g} s"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check of the severity `failing` has found. `detail`: one line per finding. `runbook`: file and anchor."""

    check: str
    detail: str

    @property
    def remedy(self) -> str:
        """What to do. A check of another version is not known here; the runbook of that version has it."""
        known = CHECKS.get(self.check)
        return known.remedy if known else "see the runbook"

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.check}"


@dataclass(frozen=True, slots=True)
class _Rows:
    """What PostgreSQL has: the stored findings by check, and the time since the last sweep (None: never)."""

    stored: Mapping[str, str]
    sweep_seconds: float | None


@WithTimeout
def _rows() -> _Rows:
    with autocommit_engine().connect() as connection:
        stored = connection.execute(_STORED, {"severity": Severity.FAILING.value})
        return _Rows({row.name: row.detail for row in stored}, seconds_since_sweep(connection))


@WithTimeout
def _consumption() -> Mapping[Queue, Consumption]:
    return consumption()


def current_findings() -> list[Finding]:
    """Return the checks that fail, in the order of their names, after about two seconds at most.

    `database`, `redis`, `worker-not-consuming` and `beat-not-sweeping` are looked at now, so they are right also while beat
    is stopped. The others are as beat found them in its last run; without a database they are not known.
    """
    reading_rows, reading_keys = _begin(_rows), _begin(_consumption)
    rows = _answer(reading_rows)
    keys = _answer(reading_keys)
    found: dict[str, str] = {}
    sweeps = False
    if isinstance(rows, str):
        found["database"] = f"database: {rows}"
    else:
        found |= rows.stored
        found.pop("database", None)
        found.pop("beat-not-sweeping", None)
        late = late_sweep(rows.sweep_seconds)
        sweeps = late is None
        if late:
            found["beat-not-sweeping"] = late
    if isinstance(keys, str):
        found["redis"] = f"REDIS_URL: {keys}"
    else:
        found.pop("worker-not-consuming", None)
        if idle := list(idle_queues(keys, is_probed=sweeps)):
            found["worker-not-consuming"] = "\n".join(idle)
    return [Finding(check, detail) for check, detail in sorted(found.items())]


def _begin(read: WithTimeout[Read]) -> Callable[[], Read] | NoThread:
    try:
        return read.begin()
    except NoThread as refusal:
        return refusal


def _answer(result: Callable[[], Read] | NoThread) -> Read | str:
    """Return what was read, or why it could not be read."""
    if isinstance(result, NoThread):
        return f"it could not be asked: {result}"
    try:
        return result()
    except TimeoutError:
        return NO_ANSWER
    except (RedisError, *DATABASE_ERRORS) as error:
        return f"not reachable: {first_line(error)}"
