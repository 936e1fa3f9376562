"""The plan: from a seed, which fault comes when. The same seed is the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass

QUIET_FIRST_SECONDS = 4.0
QUIET_LAST_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Moment:
    at: float
    """Seconds from the beginning of the play."""
    fault: str
    seed: int
    """Of whatever is left to chance when it happens."""


def plan(seed: int, seconds: float, faults: list[str]) -> list[Moment]:
    """Each fault about equally often, in an order of its own each round, at times spread over the play."""
    dice = random.Random(seed)
    span = seconds - QUIET_FIRST_SECONDS - QUIET_LAST_SECONDS
    rounds = max(1, round(span / (len(faults) * EVERY_SECONDS)))
    order = [each for _ in range(rounds) for each in dice.sample(faults, len(faults))]
    slot = span / len(order)
    return [
        Moment(QUIET_FIRST_SECONDS + slot * (number + dice.uniform(0.0, 0.6)), each, dice.randrange(1 << 30))
        for number, each in enumerate(order)
    ]


EVERY_SECONDS = 4.0
"""About so often something breaks."""
