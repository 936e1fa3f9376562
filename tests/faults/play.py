"""Runs one fault test: people connect, faults are injected by a plan, the system comes to rest, the checks run."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from tests.faults.checks import CheckResult
from tests.faults.fault_system import ClockWatch, FaultSystem, Outage
from tests.faults.faults import FAULTS
from tests.faults.leaks import Usage
from tests.faults.ledger import Ledger
from tests.faults.moves import Move, moves
from tests.faults.plan import ScheduledFault, plan
from tests.faults.population import Population
from tests.faults.punctuality import TIMERS, Delay, delays
from tests.faults.registry import Effect, FaultContext, NotPossibleHere
from tests.faults.verification import verify
from tests.support.waiting import eventually


@dataclass(slots=True)
class InjectedFault:
    """A scheduled fault after its injection. Times in seconds since the epoch."""

    fault: str
    began: float
    ended: float
    effect: Effect


@dataclass(slots=True)
class Play:
    seed: int
    seconds: float
    began: float = 0.0
    ended: float = 0.0
    rested: float = 0.0
    broken: list[InjectedFault] = field(default_factory=list)
    not_here: dict[str, str] = field(default_factory=dict)
    """Faults that are not possible on this machine, and why."""
    away: list[Outage] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    counted: list[CheckResult] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    """What the commands about trucks did."""


def perform(
    fault_system: FaultSystem,
    seed: int,
    seconds: float,
    *,
    long: float = 3.0,
    hurried: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Play:
    play = Play(seed, seconds)
    population = Population(fault_system.system.url, seed)
    play.ledger, play.away = population.ledger, fault_system.away
    fault_system.shares_its_cores = hurried
    watch = ClockWatch(fault_system)
    try:
        population.gather()
        fault_system.usual = Usage.now(fault_system)
        population.begin()
        play.began = fault_system.zero = time.time()
        _break(play, fault_system, plan(seed, seconds, list(FAULTS)), population, long, report)
        play.ended = time.time()
        report("the play is over; waiting until all commands are settled")
        population.end(all_of_it=hurried)
        try:
            if hurried:
                _let_a_minute_pass(fault_system)
            _rest(fault_system)
        except AssertionError as busy:  # recorded and not raised, so that the checks still run
            population.ledger.spoiled.append(f"the system does not come to rest: {busy}")
        play.rested = time.time()
        report(f"at rest after {play.rested - play.ended:.0f} s; running the checks")
        play.counted = verify(fault_system, population)
        play.delays = delays(fault_system, TIMERS)
        play.moves = moves(fault_system)
    finally:
        watch.close()
        population.close()
    return play


def _break(
    play: Play,
    fault_system: FaultSystem,
    moments: list[ScheduledFault],
    population: Population,
    long: float,
    report: Callable[[str], None],
) -> None:
    """Inject each fault at its time, in its own thread, because faults may overlap."""
    threads = []
    began = time.monotonic()
    until = began + play.seconds

    def strike(moment: ScheduledFault) -> None:
        at = FaultContext(fault_system, random.Random(moment.seed), long)
        broken = _until_it_matters(play, moment.fault, at)
        play.broken.append(broken)
        report(f"{broken.began - play.began:6.1f} s  {broken.fault}: {broken.effect.what}")

    for moment in moments:
        time.sleep(max(0.0, began + moment.at - time.monotonic()))
        thread = threading.Thread(target=strike, args=(moment,), name=moment.fault, daemon=True)
        thread.start()
        threads.append(thread)
        population.obliging = time.monotonic() > began + play.seconds * 0.6
    for thread in threads:
        thread.join()
    time.sleep(max(0.0, until - time.monotonic()))


AGAIN_SECONDS = 60.0


def _until_it_matters(play: Play, fault: str, at: FaultContext) -> InjectedFault:
    """Inject a fault.

    If the fault has no effect, repeat it for up to AGAIN_SECONDS: its target may not exist yet, or another fault may
    have removed the target.
    """
    until = time.monotonic() + AGAIN_SECONDS
    while True:
        began = time.time()
        try:
            effect = FAULTS[fault](at)
        except NotPossibleHere as why:
            play.not_here[fault] = str(why)
            return InjectedFault(fault, began, time.time(), Effect(0, f"not possible here: {why}"))
        except (RedisError, DBAPIError) as away:
            effect = Effect(0, f"a server was away: {type(away).__name__}")
        except Exception as problem:
            play.ledger.spoiled.append(f"{fault}: {problem!r}")
            return InjectedFault(fault, began, time.time(), Effect(0, f"failed: {problem!r}"))
        if effect.much or time.monotonic() > until:
            return InjectedFault(fault, began, time.time(), effect)
        time.sleep(0.3)


REST_SECONDS = 90.0  # longer than the minute for which a reopened slot is offered


def _let_a_minute_pass(fault_system: FaultSystem) -> None:
    """Wait until only timers of deadlines are pending, then make them due within seconds."""

    def only_deadlines() -> bool:
        others = "SELECT name FROM mailbox WHERE settled_at IS NULL AND name <> 'broadcasts.expire' LIMIT 5"
        assert not (left := fault_system.rows(others)), left
        return True

    eventually(only_deadlines, within=REST_SECONDS, every=0.3)
    fault_system.shorten_deadlines()


def _rest(fault_system: FaultSystem) -> None:
    """Wait until all commands are settled or parked."""

    def nothing_left() -> bool:
        left = fault_system.rows(
            "SELECT name, due_at, attempts, parked_at FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL LIMIT 5"
        )
        assert not left, left
        return True

    eventually(nothing_left, within=REST_SECONDS, every=0.5)
