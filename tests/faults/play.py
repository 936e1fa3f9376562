"""One play from beginning to end: everybody comes, things break by the plan, all comes to rest, and it is counted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from tests.faults.faults import FAULTS, Breaking
from tests.faults.ledger import Ledger
from tests.faults.leftovers import Usage
from tests.faults.plan import Moment, plan
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
    usage_before: Usage | None = None
    broken: list[Broken] = field(default_factory=list)
    away: list[Away] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)


def perform(
    folder: Path,
    seed: int,
    seconds: float,
    *,
    long: float = 3.0,
    hurried: bool = False,
    reckon: Callable[[Play, Stage, Town], None],
    tell: Callable[[str], None] = lambda _: None,
) -> Play:
    play = Play(seed, seconds)
    stage = Stage(folder)
    try:
        town = Town(stage.system.url, seed)
        play.ledger, play.away = town.ledger, stage.away
        watch = ClockWatch(stage)
        try:
            town.gather()
            play.usage_before = Usage.now(stage)
            town.begin()
            play.began = stage.zero = time.time()
            _break(play, stage, plan(seed, seconds, list(FAULTS)), town, long, tell)
            play.ended = time.time()
            tell("the play is over; all comes to rest")
            town.end(all_of_it=hurried)
            if hurried:
                _let_stale_timers_come(stage)
            _rest(stage)
            play.rested = time.time()
            tell(f"at rest after {play.rested - play.ended:.0f} s; counting")
            reckon(play, stage, town)
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


def _let_stale_timers_come(stage: Stage) -> None:
    """What is due later about requests that are over must do nothing, so it may as well do it now."""
    over = "SELECT id FROM broadcasts WHERE status NOT IN ('created', 'broadcasting', 'active', 'partially_filled')"
    with stage.engine.begin() as connection:
        now = f"""
            UPDATE mailbox SET due_at = clock_timestamp(), ring_at = clock_timestamp(), received_at = clock_timestamp()
             WHERE id IN (SELECT id FROM mailbox WHERE settled_at IS NULL AND name = 'broadcasts.expire'
                             AND (payload->>'broadcast_id')::uuid IN ({over}) FOR UPDATE SKIP LOCKED)"""
        connection.execute(text(now))


def _rest(stage: Stage) -> None:
    """Until nothing is left to do."""

    def nothing_left() -> bool:
        left = stage.rows(
            "SELECT name, due_at, attempts, parked_at FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL LIMIT 5"
        )
        assert not left, left
        return True

    eventually(nothing_left, within=REST_SECONDS, every=0.5)
