"""What the commands `weelo lab …` do, with their errors as lines."""

from __future__ import annotations

from pathlib import Path

from weelo_lab import policies, servers
from weelo_lab.demand import FileError, read
from weelo_lab.engine import LabError
from weelo_lab.faults import NO_FAULTS, ROUGH
from weelo_lab.playing import Job, explain as explained, play
from weelo_lab.policies import NamedPolicy
from weelo_workers.runtime import CommandError

DEFAULTS = NamedPolicy("defaults")


def job(seed: int, demand: Path | None, policy: Path | None, *, faults: bool = False) -> Job:
    """Return the run that these options name. Raises CommandError."""
    try:
        chosen = policies.read(policy) if policy is not None else DEFAULTS
        return Job(read(demand), chosen, seed, ROUGH if faults else NO_FAULTS)
    except FileError as problem:
        raise CommandError(str(problem)) from None


def replay(chosen: Job, log: Path | None) -> str:
    """Play a run and return its hash. Raises CommandError."""
    try:
        with servers.running() as on:
            return play(on, chosen, log.absolute() if log is not None else None).hash
    except LabError as problem:
        raise CommandError(str(problem)) from None


def explain(chosen: Job, number: int) -> str:
    """Play a run and return the life of one broadcast. Raises CommandError."""
    try:
        with servers.running() as on:
            return explained(on, chosen, number)
    except (LabError, LookupError) as problem:
        raise CommandError(problem.args[0]) from None
