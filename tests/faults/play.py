"""One play from beginning to end: everybody comes, things break by the plan, all comes to rest, and it is counted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from tests.faults.breaking import Breaking, Effect, NotHere
from tests.faults.counting import Count
from tests.faults.faults import FAULTS
from tests.faults.ledger import Ledger
from tests.faults.leftovers import Usage
from tests.faults.plan import Moment, plan
from tests.faults.punctuality import TIMERS, Delay, delays
from tests.faults.reckoning import reckon
from tests.faults.stage import Away, ClockWatch, Stage
from tests.faults.town import Town
from tests.waiting import eventually


@dataclass(slots=True)
class Broken:
    """A moment of the plan as it came out: seconds since the epoch."""

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
    broken: list[Broken] = field(default_factory=list)
    not_here: dict[str, str] = field(default_factory=dict)
    """Which faults this machine does not let happen, and why."""
    away: list[Away] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    counted: list[Count] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)


def perform(
    stage: Stage,
    seed: int,
    seconds: float,
    *,
    long: float = 3.0,
    hurried: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Play:
    play = Play(seed, seconds)
    town = Town(stage.system.url, seed)
    play.ledger, play.away = town.ledger, stage.away
    stage.shares_its_cores = hurried
    watch = ClockWatch(stage)
    try:
        town.gather()
        stage.usual = Usage.now(stage)
        town.begin()
        play.began = stage.zero = time.time()
        _break(play, stage, plan(seed, seconds, list(FAULTS)), town, long, tell)
        play.ended = time.time()
        tell("the play is over; all comes to rest")
        town.end(all_of_it=hurried)
        try:
            if hurried:
                _let_a_minute_pass(stage)
            _rest(stage)
        except AssertionError as busy:  # what is wrong then shall be counted as well
            town.ledger.spoiled.append(f"it does not come to rest: {busy}")
        play.rested = time.time()
        tell(f"at rest after {play.rested - play.ended:.0f} s; counting")
        play.counted = reckon(stage, town)
        play.delays = delays(stage, TIMERS)
    finally:
        watch.close()
        town.close()
    return play


def _break(
    play: Play, stage: Stage, moments: list[Moment], town: Town, long: float, tell: Callable[[str], None]
) -> None:
    """Each fault in a thread of its own: the next may come before the last is mended."""
    threads = []
    began = time.monotonic()
    until = began + play.seconds

    def strike(moment: Moment) -> None:
        at = Breaking(stage, random.Random(moment.seed), long)
        broken = _until_it_matters(play, moment.fault, at)
        play.broken.append(broken)
        tell(f"{broken.began - play.began:6.1f} s  {broken.fault}: {broken.effect.what}")

    for moment in moments:
        time.sleep(max(0.0, began + moment.at - time.monotonic()))
        thread = threading.Thread(target=strike, args=(moment,), name=moment.fault, daemon=True)
        thread.start()
        threads.append(thread)
        town.obliging = time.monotonic() > began + play.seconds * 0.6
    for thread in threads:
        thread.join()
    time.sleep(max(0.0, until - time.monotonic()))


AGAIN_SECONDS = 30.0


def _until_it_matters(play: Play, fault: str, at: Breaking) -> Broken:
    """Again and again for a while: another fault may have been quicker, or there was nothing to break yet."""
    until = time.monotonic() + AGAIN_SECONDS
    while True:
        began = time.time()
        try:
            effect = FAULTS[fault](at)
        except NotHere as why:
            play.not_here[fault] = str(why)
            return Broken(fault, began, time.time(), Effect(0, f"not possible here: {why}"))
        except (RedisError, DBAPIError) as away:
            effect = Effect(0, f"nobody was there: {type(away).__name__}")
        except Exception as problem:
            play.ledger.spoiled.append(f"{fault}: {problem!r}")
            return Broken(fault, began, time.time(), Effect(0, f"failed: {problem!r}"))
        if effect.much or time.monotonic() > until:
            return Broken(fault, began, time.time(), effect)
        time.sleep(0.3)


REST_SECONDS = 90.0  # a slot that came back is offered for a minute


def _let_a_minute_pass(stage: Stage) -> None:
    """When only deadlines are waited for, which may be a minute away, they come within some seconds."""

    def only_deadlines() -> bool:
        others = "SELECT name FROM mailbox WHERE settled_at IS NULL AND name <> 'broadcasts.expire' LIMIT 5"
        assert not (left := stage.rows(others)), left
        return True

    eventually(only_deadlines, within=REST_SECONDS, every=0.3)
    stage.hurry()


def _rest(stage: Stage) -> None:
    """Until nothing is left to do."""

    def nothing_left() -> bool:
        left = stage.rows(
            "SELECT name, due_at, attempts, parked_at FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL LIMIT 5"
        )
        assert not left, left
        return True

    eventually(nothing_left, within=REST_SECONDS, every=0.5)
