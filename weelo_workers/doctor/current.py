"""What checks find at present: the findings that beat stored in its last run, and those of four checks that run now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from redis.exceptions import RedisError

from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor.check import CHECKS, RUNBOOK, Severity
from weelo_workers.doctor.checks.processes import idle_queues, late_sweep
from weelo_workers.doctor.errors import first_line

# This import registers all checks.
from weelo_workers.doctor.examine import examine  # noqa: F401
from weelo_workers.messaging.worker_heartbeats import Consumption, consumption
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.failing_checks import FailingCheck, failing_checks
from weelo_workers.queries.health import seconds_since_sweep
from weelo_workers.with_timeout import PROBE_SECONDS, NoThread, WithTimeout

Read = TypeVar("Read")

NO_ANSWER = f"it has not answered within {PROBE_SECONDS:g} s"
_SEEN_HERE = frozenset({"database", "beat-not-sweeping", "worker-not-consuming"})
"""Checks whose stored results are never used, because a stopped process cannot store that it is stopped."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found. `detail`: one line per finding.

    `checked_at`: when beat ran the check; None if the check ran just now.
    """

    check: str
    detail: str
    is_warning: bool = False
    checked_at: datetime | None = None

    @property
    def remedy(self) -> str:
        """What to do about the finding. If this version does not have the check, refer to the runbook."""
        known = CHECKS.get(self.check)
        return known.remedy if known else "see the runbook"

    @property
    def runbook(self) -> str:
        """The file and the anchor of the check's entry in the runbook."""
        return f"{RUNBOOK}#{self.check}"


@dataclass(frozen=True, slots=True)
class Findings:
    """The checks with a finding, those that need action first. `has_database`, `has_redis`: whether these servers answer."""

    all: list[Finding]
    has_database: bool
    has_redis: bool

    @property
    def failing(self) -> list[Finding]:
        """The findings that need action."""
        return [each for each in self.all if not each.is_warning]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows read from PostgreSQL: the stored findings, and the time since the last sweep (None: never)."""

    stored: list[FailingCheck]
    sweep_seconds: float | None


@WithTimeout
def _rows() -> _Rows:
    with autocommit_engine().connect() as connection:
        return _Rows(failing_checks(connection), seconds_since_sweep(connection))


@WithTimeout
def _consumption() -> Mapping[Queue, Consumption]:
    return consumption()


def current_findings() -> Findings:
    """Return what the checks find. This takes about two seconds at most, even if a server hangs.

    Four checks run now, so their results are right even while beat is stopped: the database answers, Redis answers,
    beat sweeps, each queue is consumed. The results of the other checks are those of beat's last run; without a
    database they are unknown.
    """
    reading_rows, reading_keys = _begin(_rows), _begin(_consumption)
    rows, keys = _answer(reading_rows), _answer(reading_keys)
    found: list[Finding] = []
    sweeps = False
    if isinstance(rows, str):
        found.append(Finding("database", f"database: {rows}"))
    else:
        late = late_sweep(rows.sweep_seconds)
        sweeps = late is None
        if late:
            found.append(Finding("beat-not-sweeping", late))
    if isinstance(keys, str):
        found.append(Finding("redis", f"REDIS_URL: {keys}"))
    elif idle := list(idle_queues(keys, is_probed=sweeps)):
        found.append(Finding("worker-not-consuming", "\n".join(idle)))
    if not isinstance(rows, str):
        # Beat's stored finding about Redis is shown even if Redis answers now, because Redis may answer reads and
        # refuse writes.
        seen = _SEEN_HERE | {each.check for each in found}
        found += [_stored(each) for each in rows.stored if each.name not in seen]
    found.sort(key=lambda each: (each.is_warning, each.check))
    return Findings(found, not isinstance(rows, str), not isinstance(keys, str))


def _stored(result: FailingCheck) -> Finding:
    return Finding(result.name, result.detail, result.severity == Severity.WARNING, result.checked_at)


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
