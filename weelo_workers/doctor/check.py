"""What a check is, and the registry of all checks.

A check is a function that yields one line per finding. Its name, its severity and what to do about a finding are given
where it is registered; `docs/runbooks/checks.md` has an entry for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine

from weelo_workers.models.engine import limit_statements
from weelo_workers.queries.backlog import OVERDUE_SECONDS

RUNBOOK = "docs/runbooks/checks.md"

EVERY_SECONDS = 60.0
HOURLY = 3_600.0

OVERDUE = f"clock_timestamp() - interval '{OVERDUE_SECONDS} s'"
"""A time in SQL. Timers and commands that were due before this time are reported."""


class Severity(StrEnum):
    """How bad a finding of a check is. Only a finding of a `failing` check makes the exit code of `weelo doctor` 1."""

    FAILING = "failing"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Examination:
    """What a check may use. `statement_seconds`: the time limit of each of its statements."""

    engine: Engine
    statement_seconds: float

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """Yield a connection in a transaction with the time limit. The transaction is rolled back at the end."""
        with self.engine.connect() as connection:
            limit_statements(connection, self.statement_seconds)
            yield connection


Find = Callable[[Examination], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name.

    `needs`: checks that must have no finding, because otherwise this one would fail as well. `every_seconds`: the time
    between two runs by beat; long for checks that read whole tables.
    """

    name: str
    severity: Severity
    remedy: str
    needs: tuple[str, ...]
    every_seconds: float
    find: Find

    @property
    def runbook(self) -> str:
        return f"{RUNBOOK}#{self.name}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check has found: one line per finding, none if all is well. `was_run`: whether the check ran to its end."""

    check: Check
    findings: tuple[str, ...]
    was_run: bool = True

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def detail(self) -> str:
        return "\n".join(self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return `{check, ok, severity, detail, remedy, runbook}`; `detail` is empty if `ok`."""
        return {
            "check": self.check.name,
            "ok": self.ok,
            "severity": self.check.severity.value,
            "detail": self.detail,
            "remedy": self.check.remedy,
            "runbook": self.check.runbook,
        }


CHECKS: dict[str, Check] = {}
"""All checks by name. `weelo_workers.doctor.examine` imports the modules that fill it."""


def check(
    name: str,
    *,
    remedy: str,
    severity: Severity = Severity.FAILING,
    needs: tuple[str, ...] = (),
    every_seconds: float = EVERY_SECONDS,
) -> Callable[[Find], Find]:
    """Return a decorator that registers a check under this name, which is also its anchor in the runbook."""

    def register(find: Find) -> Find:
        if name in CHECKS:
            raise ValueError(f"two checks are called {name}")
        CHECKS[name] = Check(name, severity, remedy, needs, every_seconds, find)
        return find

    return register


IN_SCHEMA = ("database", "schema")
"""The checks that every check of rows needs."""
