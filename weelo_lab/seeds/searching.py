"""The search: plays the scripts of one seed after another until one violates an invariant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass

from weelo_lab.seeds.drawing import draw
from weelo_lab.seeds.player import Player, player
from weelo_lab.seeds.script import Step
from weelo_lab.seeds.shrinking import shrink
from weelo_lab.seeds.trial import Verdict
from weelo_lab.servers import Servers


@dataclass(slots=True)
class Tried:
    """How much has been tried. `seconds`: the real time. `processor_seconds`: the processor time of the players."""

    seeds: int = 0
    steps: int = 0
    commands: int = 0
    faults: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0

    def add(self, verdict: Verdict) -> None:
        self.seeds += 1
        self.steps += verdict.steps
        self.commands += verdict.commands
        self.faults += verdict.faults
        self.processor_seconds += verdict.processor_seconds

    def __str__(self) -> str:
        return (
            f"{self.seeds:,} seeds, {self.commands:,} commands, {self.faults:,} faults"
            f" in {self.seconds:,.0f} s ({self.processor_seconds:,.0f} s of processor time)"
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed whose script violates invariants. `steps`: the steps of the script up to the violation."""

    seed: int
    steps: list[Step]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search ends. The first limit that is reached ends it; None: no such limit."""

    seconds: float | None = None
    processor_seconds: float | None = None
    seeds: int | None = None

    def reached(self, tried: Tried, started: int) -> bool:
        """Return whether a limit is reached, so that no further seed is started. `started`: how many were started."""
        return (
            (self.seconds is not None and tried.seconds >= self.seconds)
            or (self.processor_seconds is not None and tried.processor_seconds >= self.processor_seconds)
            or (self.seeds is not None and started >= self.seeds)
        )


def search(
    on: Servers, first_seed: int, limits: Limits, at_once: int, progress: Callable[[Tried], None]
) -> tuple[Tried, Failure | None]:
    """Play seeds from `first_seed` on, several at once, until one fails or a limit is reached.

    Return what was tried, and the failure of the smallest seed among those that were being played.
    """
    began = time.monotonic()
    tried = Tried()
    failures: list[Failure] = []
    with ExitStack() as stack:
        idle = [stack.enter_context(player(on)) for _ in range(at_once)]
        running: dict[Future[Verdict], tuple[int, list[Step], Player]] = {}
        seeds = iter(_numbers(first_seed))
        started = 0
        while True:
            while idle and not failures and not limits.reached(tried, started):
                seed, plays = next(seeds), idle.pop()
                steps = draw(seed)
                running[plays.start(steps)] = (seed, steps, plays)
                started += 1
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                seed, steps, plays = running.pop(future)
                idle.append(plays)
                verdict = future.result()
                tried.add(verdict)
                if verdict.broken:
                    failures.append(Failure(seed, steps[: verdict.steps], verdict))
            tried.seconds = time.monotonic() - began
            progress(tried)
    return tried, min(failures, key=lambda each: each.seed, default=None)


def shrunk(
    on: Servers, failure: Failure, progress: Callable[[int, int], None]
) -> tuple[list[Step], Verdict | None]:
    """Return the shortest script found that violates an invariant of this failure, and its verdict.

    The verdict is None if the script did not fail when it was played again. `progress`: called for each shorter script
    that fails, with the number of its steps and the number of scripts played so far.
    """
    truths = set(failure.verdict.broken)
    last: list[Verdict] = []
    played = 0
    with player(on) as plays:

        def fails(steps: Sequence[Step]) -> bool:
            nonlocal played
            played += 1
            verdict = plays.play(steps)
            if truths & set(verdict.broken):
                last[:] = [verdict]
                progress(len(steps), played)
                return True
            return False

        if not fails(failure.steps):
            return failure.steps, None
        return shrink(failure.steps, fails), last[0]


def _numbers(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1
