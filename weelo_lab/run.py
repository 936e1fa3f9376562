"""One run: a demand, a policy and a seed, played from beginning to end in a process of its own."""

from __future__ import annotations

import os
import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import text

from weelo_lab import figures, film
from weelo_lab.demand import HOUR, Demand, draw
from weelo_lab.engine import Engine
from weelo_lab.event_log import EventLog
from weelo_lab.faults import NO_FAULTS, FaultDice, Faults
from weelo_lab.people import People
from weelo_lab.virtual_clock import SECOND
from weelo_workers.models.engine import autocommit_engine

_SESSIONS = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid IS NOT NULL")
WARM_UP = 300 * SECOND
"""The first request comes at the earliest this long after the beginning. Before that all fleets go online."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run. `seconds` and `processor_seconds` are measured, so repetitions of a run differ in them."""

    seed: int
    hash: str
    lines: int
    figures: dict[str, float | None]
    details: dict[str, Any]
    seconds: float
    processor_seconds: float
    """Of the run's process and of its sessions in PostgreSQL."""
    film: dict[str, Any] | None = None
    """What the map of the report plays (`film.py`)."""


@dataclass(frozen=True, slots=True)
class Played:
    """A run that has been played, with the rows still in its database."""

    lab: Engine
    people: People
    log: EventLog


def play(
    demand: Demand,
    seed: int,
    faults: Faults = NO_FAULTS,
    log_file: Path | None = None,
    *,
    is_filmed: bool = False,
) -> Run:
    """Play one run in this process, and return its result. Its event log is written if a file is given.

    The process's environment names an empty database of the lab, a Redis database, and the policy. Raises LabError.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        file = stack.enter_context(log_file.open("w", encoding="utf-8")) if log_file is not None else None
        played = play_to_the_end(demand, seed, faults, file)
        found, details = figures.measure(played.people, played.lab)
        filmed = film.record(demand, played.people, WARM_UP, end_of(demand)) if is_filmed else None
        of_sessions = session_seconds()
        played.lab.finish()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Run(
        seed,
        played.log.hash,
        played.log.lines,
        found,
        details,
        time.monotonic() - began,
        used.ru_utime + used.ru_stime + of_sessions,
        filmed,
    )


def play_to_the_end(demand: Demand, seed: int, faults: Faults, file: IO[str] | None) -> Played:
    """Play one run and leave its connections open. The caller closes them by `lab.finish`."""
    log = EventLog(file)
    name = f"lab {seed}"
    lab = Engine(name, FaultDice(name, faults), log)
    people = People(lab, demand, draw(demand, name, WARM_UP), name)
    end = end_of(demand)
    people.set_up()
    lab.after(1.0, partial(people.begin, WARM_UP, end))
    lab.run(end)
    return Played(lab, people, log)


def end_of(demand: Demand) -> int:
    """Return the time at which a run ends, in microseconds."""
    return WARM_UP + round((demand.hours * HOUR + demand.settles_minutes * 60) * SECOND)


def session_seconds() -> float:
    """Return the processor seconds that this database's PostgreSQL sessions have used so far; 0 without /proc."""
    with autocommit_engine().connect() as connection:
        sessions = connection.execute(_SESSIONS).scalars().all()
    ticks = 0
    for pid in sessions:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")
