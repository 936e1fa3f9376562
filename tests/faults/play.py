"""One play from beginning to end: everybody comes, things break by the plan, all comes to rest, and it is counted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.faults.counting import Count
from tests.faults.faults import FAULTS, Breaking
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
    """A fault that has happened: seconds since the epoch."""

    fault: str
    began: float
    ended: float
    what: str


@dataclass(slots=True)
class Play:
    seed: int
    seconds: float
    began: float = 0.0
    ended: float = 0.0
    rested: float = 0.0
    broken: list[Broken] = field(default_factory=list)
    away: list[Away] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    counted: list[Count] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)


def perform(
    folder: Path,
    seed: int,
    seconds: float,
    *,
    long: float = 3.0,
    log: Path,
    hurried: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Play:
    play = Play(seed, seconds)
    stage = Stage(folder, log)
    try:
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
    finally:
        stage.close()
    return play


def _break(
    play: Play, stage: Stage, moments: list[Moment], town: Town, long: float, tell: Callable[[str], None]
) -> None:
    """Each fault in a thread of its own: the next may come before the last is mended."""
    threads = []
    until = time.monotonic() + play.seconds
    began = time.monotonic()

    def strike(moment: Moment) -> None:
        at = time.time()
        try:
            what = FAULTS[moment.fault](Breaking(stage, random.Random(moment.seed), long))
        except (RedisError, DBAPIError) as away:
            what = f"nobody was there: {type(away).__name__}"  # another fault was quicker
        except Exception as problem:
            what = f"failed: {problem!r}"
            play.ledger.spoiled.append(f"{moment.fault}: {problem!r}")
        play.broken.append(Broken(moment.fault, at, time.time(), what))
        tell(f"{at - play.began:6.1f} s  {moment.fault}: {what}")

    for moment in moments:
        time.sleep(max(0.0, began + moment.at - time.monotonic()))
        thread = threading.Thread(target=strike, args=(moment,), name=moment.fault, daemon=True)
        thread.start()
        threads.append(thread)
        town.obliging = time.monotonic() > began + play.seconds * 0.6
    for thread in threads:
        thread.join()
    time.sleep(max(0.0, until - time.monotonic()))


REST_SECONDS = 90.0  # a slot that came back is offered for a minute


def _let_a_minute_pass(stage: Stage) -> None:
    """When only deadlines are waited for, which may be a minute away, they come within some seconds."""

    def only_deadlines() -> bool:
        others = "SELECT name FROM mailbox WHERE settled_at IS NULL AND name <> 'broadcasts.expire' LIMIT 5"
        assert not (left := stage.rows(others)), left
        return True

    eventually(only_deadlines, within=REST_SECONDS, every=0.3)
    later = "SELECT id, EXTRACT(EPOCH FROM expires_at)::float AS ends FROM broadcasts"
    stage.deadlines = {str(row.id): row.ends for row in stage.rows(later)}
    soon = "now() + (1 + abs(hashtext({})) % 5) * interval '1 second'"
    with stage.engine.begin() as connection:
        connection.execute(
            text(f"""
                UPDATE broadcasts SET expires_at = {soon.format("id::text")}
                 WHERE expires_at > now() + interval '5 s'""")
        )
        due = soon.format("payload->>'broadcast_id'")
        connection.execute(
            text(f"""
                UPDATE mailbox SET due_at = {due}, ring_at = {due} + interval '0.25 s'
                 WHERE settled_at IS NULL AND due_at > now() + interval '5 s'""")
        )


def _rest(stage: Stage) -> None:
    """Until nothing is left to do."""

    def nothing_left() -> bool:
        left = stage.rows(
            "SELECT name, due_at, attempts, parked_at FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL LIMIT 5"
        )
        assert not left, left
        return True

    eventually(nothing_left, within=REST_SECONDS, every=0.5)
