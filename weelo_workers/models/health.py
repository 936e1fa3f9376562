"""The health of the running system: heartbeats of beat, and the last results of the checks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Integer
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.models.base import Base


class BeatHeartbeat(Base):
    """A process of beat and its last sweep. The process updates its row as long as it sweeps."""

    __tablename__ = "beat_heartbeats"

    beat: Mapped[str] = mapped_column(primary_key=True)
    """Host name and pid."""
    started_at: Mapped[datetime]
    swept_at: Mapped[datetime]
    """The end of the last sweep, by the clock of the database's machine, also in a sandbox."""


class CheckResult(Base):
    """The last result of one check of `weelo doctor`, as beat found it."""

    __tablename__ = "check_results"

    name: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[str]
    detail: Mapped[str]
    """What was found, one line per finding. Empty if all is well."""
    checked_at: Mapped[datetime]


class CheckRun(Base):
    """The last run of the checks. The table has one row.

    If several processes of beat run, the one that updates the row first runs the checks.
    """

    __tablename__ = "check_runs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("id = 1", name="there_is_one_row_about_the_last_run"),)
