"""Queries about the running system: the last sweep, and the last results of the checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

# The schema pg_catalog is named, because in a sandbox clock_timestamp() alone returns the sandbox's clock, which
# requests can move.
_SWEPT = text("""
    SELECT EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - max(swept_at))::float FROM beat_heartbeats
""")
_CHECKS = text("SELECT name, detail <> '' AS is_failing FROM check_results")
_LAST_RUN = text("SELECT EXTRACT(EPOCH FROM ended_at)::float FROM check_runs")


@dataclass(frozen=True, slots=True)
class CheckStates:
    """What beat's last run of the checks has found. `ended_at`: seconds since the epoch; None before the first run."""

    failing: Mapping[str, bool]
    ended_at: float | None


def seconds_since_sweep(connection: Connection) -> float | None:
    """Return how long ago a process of beat has last swept; None if none ever has."""
    seconds: float | None = connection.execute(_SWEPT).scalar()
    return None if seconds is None else max(0.0, seconds)


def check_states(connection: Connection) -> CheckStates:
    """Return the stored results of the checks."""
    failing = {row.name: bool(row.is_failing) for row in connection.execute(_CHECKS)}
    return CheckStates(failing, connection.execute(_LAST_RUN).scalar())
