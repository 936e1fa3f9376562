"""The checks of `weelo doctor` that have found something, as beat stored them in its last run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

_FAILING = text("""
    SELECT name, severity, detail, checked_at FROM check_results WHERE detail <> '' ORDER BY severity, name
""")


@dataclass(frozen=True, slots=True)
class FailingCheck:
    """A check with a finding. `severity`: `failing` or `warning`. `detail`: one line per finding.

    `checked_at`: when beat ran it, by the clock of the database's machine. While beat is stopped, no check runs, so the
    results may be old.
    """

    name: str
    severity: str
    detail: str
    checked_at: datetime


def failing_checks(connection: Connection) -> list[FailingCheck]:
    """Return the checks that had a finding in beat's last run, those of the severity `failing` first."""
    return [
        FailingCheck(row.name, row.severity, row.detail, row.checked_at)
        for row in connection.execute(_FAILING)
    ]
