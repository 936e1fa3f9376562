"""Plays each run in a process of its own, from a demand, a policy and a seed, and returns a `Run`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from weelo_lab import explaining, run, servers
from weelo_lab.demand import Demand
from weelo_lab.faults import NO_FAULTS, Faults
from weelo_lab.policies import NamedPolicy

TTL_IN_HEARTBEATS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A run to be played."""

    demand: Demand
    policy: NamedPolicy
    seed: int
    faults: Faults = NO_FAULTS
    is_filmed: bool = False
    """Whether the run is recorded for the map of the report."""


def environment(job: Job, of_servers: dict[str, str]) -> dict[str, str]:
    """Return the environment of the run's process: the servers' addresses and the policy."""
    ttl = job.demand.heartbeat_seconds * TTL_IN_HEARTBEATS
    return of_servers | {"PRESENCE_TTL_SECONDS": repr(ttl)} | job.policy.environment


def play(on: servers.Servers, job: Job, log_file: Path | None = None) -> run.Run:
    """Play one run, and write its event log if a file is given. Raises LabError."""
    with on.run_environment() as given, servers.processes(1) as pool:
        arguments = (job.demand, job.seed, job.faults, log_file)
        return servers.submit(pool, environment(job, given), run.play, *arguments).result()


def explain(on: servers.Servers, job: Job, number: int) -> str:
    """Play one run, and return the life of the broadcast of this number as text. Raises LabError, LookupError."""
    with on.run_environment() as given, servers.processes(1) as pool:
        arguments = (job.demand, job.seed, job.faults, number)
        return servers.submit(pool, environment(job, given), explaining.explain, *arguments).result()


def play_all(
    on: servers.Servers, jobs: Sequence[Job], at_once: int, finished: Callable[[int], None]
) -> Iterator[tuple[Job, run.Run]]:
    """Play several runs at once, and yield each with its job as it ends.

    `finished`: called with the number of ended runs.
    """
    with servers.processes(at_once) as pool, ExitStack() as stack:
        waiting = list(jobs)
        running: dict[Future[run.Run], tuple[Job, ExitStack]] = {}
        done = 0
        while waiting or running:
            while waiting and len(running) < at_once:
                job, of_run = waiting.pop(0), ExitStack()
                stack.callback(of_run.close)
                given = of_run.enter_context(on.run_environment())
                play_it = partial(run.play, is_filmed=job.is_filmed)
                future = servers.submit(
                    pool, environment(job, given), play_it, job.demand, job.seed, job.faults, None
                )
                running[future] = (job, of_run)
            first = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
            job, of_run = running.pop(first)
            result = first.result()
            of_run.close()
            done += 1
            finished(done)
            yield job, result
