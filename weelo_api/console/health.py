"""What `weelo doctor` would report: the checks that beat has run, and those whose answer changes within seconds.

The latter are looked at here: whether the database and Redis answer, whether beat sweeps, whether each queue is consumed.
A process that is stopped cannot store that it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from redis.exceptions import RedisError

from weelo_api.console.routes import api, page
from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor import examine  # noqa: F401 (it registers the checks)
from weelo_workers.doctor.check import CHECKS, Severity
from weelo_workers.doctor.checks.processes import idle_queues, late_sweep
from weelo_workers.messaging.worker_heartbeats import Consumption, consumption
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine
from weelo_workers.queries.failing_checks import FailingCheck, failing_checks
from weelo_workers.queries.health import seconds_since_sweep
from weelo_workers.with_timeout import NoThread, WithTimeout

LOOKED_AT_HERE = ("database", "beat-not-sweeping", "worker-not-consuming")

log = logging.getLogger(__name__)

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Finding:
    """A check with a finding. `checked_at`: when beat ran it; None if it was looked at just now."""

    check: str
    detail: str
    remedy: str
    is_warning: bool
    checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Health:
    """The checks with a finding, those that need action first. `has_redis`: whether Redis answers."""

    findings: list[Finding]
    has_redis: bool

    @property
    def failing(self) -> list[Finding]:
        return [each for each in self.findings if not each.is_warning]


@dataclass(frozen=True, slots=True)
class _Rows:
    sweep_seconds: float | None
    stored: list[FailingCheck]


@WithTimeout
def _rows() -> _Rows:
    with autocommit_engine().connect() as connection:
        return _Rows(seconds_since_sweep(connection), failing_checks(connection))


@WithTimeout
def _keys() -> Mapping[Queue, Consumption]:
    return consumption()


def look() -> Health:
    """Return the checks with a finding. It takes about two seconds at most, also if a server is frozen."""
    reading_rows, reading_keys = _begin(_rows), _begin(_keys)
    rows, keys = _wait(reading_rows, "the database"), _wait(reading_keys, "Redis")
    found: list[Finding] = []
    if rows is None:
        found.append(_now("database", "The database does not answer."))
    if keys is None:
        found.append(
            _now("redis", "Redis does not answer. Workers and the presence of fleets are not known.")
        )
    late = late_sweep(rows.sweep_seconds) if rows else None
    if late:
        found.append(_now("beat-not-sweeping", late))
    if keys is not None and (idle := list(idle_queues(keys, is_probed=rows is not None and late is None))):
        found.append(_now("worker-not-consuming", "\n".join(idle)))
    # What beat has found of Redis stays, if Redis answers: it may be that it refuses writes.
    here = {*LOOKED_AT_HERE, *(each.check for each in found)}
    stored = [_stored(each) for each in rows.stored if each.name not in here] if rows else []
    found += sorted(stored, key=lambda each: each.is_warning)
    return Health(found, keys is not None)


def _now(check: str, detail: str) -> Finding:
    return Finding(check, detail, CHECKS[check].remedy, is_warning=False, checked_at=None)


def _stored(found: FailingCheck) -> Finding:
    known = CHECKS.get(found.name)  # Beat may have a newer version, with further checks.
    return Finding(
        found.name,
        found.detail,
        known.remedy if known else "",
        found.severity == Severity.WARNING,
        found.checked_at,
    )


def _begin(read: WithTimeout[Read]) -> Callable[[], Read] | None:
    try:
        return read.begin()
    except NoThread as refusal:
        log.warning("the console cannot look at the checks: %s", refusal)
        return None


def _wait(result: Callable[[], Read] | None, server: str) -> Read | None:
    """Return what was read; None if the server did not answer."""
    if result is None:
        return None
    try:
        return result()
    except (TimeoutError, RedisError, *DATABASE_ERRORS) as error:
        log.debug("%s does not answer the console: %s", server, error)
        return None


@api.get("/health")
def health() -> str:
    """The badge in the bar: how many checks fail. Pages load it every ten seconds."""
    return page("health.html", health=look())
