"""The script: what each customer does and which fault happens when. The same seed gives the same script."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

from weelo_workers.contracts.queues import Queue

LISTENERS = int(os.environ.get("WEELO_LISTENERS", "40"))
BROADCASTS = int(os.environ.get("WEELO_BROADCASTS", "25"))

LINES = LISTENERS * BROADCASTS  # the users' logs get about twice this number of lines
PLAY_SECONDS = max(18.0, LINES / 350)  # two cores deliver about 350 lines per second
REDIS_HANGS_SECONDS = 3.0 if LINES < 10_000 else 10.0  # how long Redis is suspended before it is killed
REDIS_IS_DEAD_SECONDS = 2.0 if LINES < 10_000 else 10.0

CUTS_EACH = 3
KILLED: tuple[Queue, ...] = ("broadcasts", "offers", "timers", "notifications")
ENDINGS = ("taken", "taken, then cancelled", "partly taken", "cancelled", "expired")
WAYS_TO_PART = ("closed", "reset", "left behind")


@dataclass(frozen=True, slots=True)
class Wish:
    """What one customer does. `at`: seconds from the test's start. `after`: seconds from `at` to the request's end."""

    at: float
    trucks: int
    ending: str
    after: float
    declined_by: int
    seed: int
    """Seed for choosing who declines and who accepts."""


@dataclass(frozen=True, slots=True)
class Script:
    """All actions and faults, with times in seconds from the start."""

    wishes: list[Wish]
    cuts: list[tuple[float, int, str]]
    """One entry per disconnect: time, index of the listener, way of disconnecting."""
    deaths_of_an_api_process: list[tuple[float, float]]
    """One entry per kill: time, and the process as a position from 0 to 1 in the list of API processes."""
    deaths_of_workers: list[tuple[float, Queue]]
    """One entry per kill: time, and the queue whose workers are killed."""
    redis_hangs_at: float

    @classmethod
    def of(cls, dice: random.Random) -> Script:
        some = max(1, int(PLAY_SECONDS / 60))
        return cls(
            wishes=[
                Wish(
                    at=dice.uniform(0, PLAY_SECONDS),
                    trucks=dice.randint(1, 3),
                    ending=ENDINGS[number % len(ENDINGS)],
                    after=dice.uniform(0.2, 4.0),
                    declined_by=dice.randint(0, 3),
                    seed=dice.randrange(1 << 30),
                )
                for number in range(BROADCASTS)
            ],
            cuts=[
                (dice.uniform(0, PLAY_SECONDS + 4), listener, dice.choice(WAYS_TO_PART))
                for listener in range(LISTENERS)
                for _ in range(dice.randint(0, 2 * CUTS_EACH))
            ],
            deaths_of_an_api_process=[
                (dice.uniform(1, PLAY_SECONDS), dice.random()) for _ in range(2 * some)
            ],
            deaths_of_workers=[
                (dice.uniform(1, PLAY_SECONDS), queue) for queue in KILLED for _ in range(some)
            ],
            redis_hangs_at=dice.uniform(PLAY_SECONDS * 0.2, PLAY_SECONDS * 0.7),
        )
