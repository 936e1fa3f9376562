"""One run: a demand, a policy and a seed, played from beginning to end in a process of its own."""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from weelo_lab import figures
from weelo_lab.demand import HOUR, Demand, draw
from weelo_lab.engine import Engine
from weelo_lab.event_log import EventLog
from weelo_lab.faults import NO_FAULTS, FaultDice, Faults
from weelo_lab.people import People
from weelo_lab.virtual_clock import SECOND

WARM_UP = 300 * SECOND
"""The first request comes at the earliest this long after the beginning. Before that all fleets go online."""


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run. `seconds`, `processor_seconds`: real time, so they differ between repetitions of a run."""

    seed: int
    hash: str
    lines: int
    figures: dict[str, float | None]
    details: dict[str, Any]
    seconds: float
    processor_seconds: float


@dataclass(frozen=True, slots=True)
class Played:
    """A run that has been played, with the rows still in its database."""

    lab: Engine
    people: People
    log: EventLog


def play(demand: Demand, seed: int, faults: Faults = NO_FAULTS, log_file: Path | None = None) -> Run:
    """Play one run in this process, and return its result. Its event log is written if a file is given.

    The process's environment names an empty database of the lab, a Redis database, and the policy. Raises LabError.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        file = stack.enter_context(log_file.open("w", encoding="utf-8")) if log_file is not None else None
        played = play_to_the_end(demand, seed, faults, file)
        found, details = figures.measure(played.people, played.lab)
        played.lab.finish()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Run(
        seed,
        played.log.hash,
        played.log.lines,
        found,
        details,
        time.monotonic() - began,
        used.ru_utime + used.ru_stime,
    )


def play_to_the_end(demand: Demand, seed: int, faults: Faults, file: IO[str] | None) -> Played:
    """Play one run. The caller calls `lab.finish`."""
    log = EventLog(file)
    name = f"lab {seed}"
    lab = Engine(name, FaultDice(name, faults), log)
    people = People(lab, demand, draw(demand, name, WARM_UP), name)
    end = WARM_UP + round((demand.hours * HOUR + demand.settles_minutes * 60) * SECOND)
    people.set_up()
    lab.after(1.0, partial(people.begin, WARM_UP, end))
    lab.run(end)
    return Played(lab, people, log)
