"""The plan: which fault happens when. The same seed gives the same plan."""

from __future__ import annotations

import random
from dataclasses import dataclass

QUIET_FIRST_SECONDS = 3.0
QUIET_LAST_SECONDS = 6.0
EVERY_SECONDS = 4.0
"""Average time from one fault to the next."""
RECOVERY = {
    "all of the supervisor's children are killed at once": 3,
    "a power cut: children and servers are killed at once": 4,
    "the children are terminated gracefully, one after another": 3,
    "the disk of Redis is full": 3,  # all workers exit, because Redis refuses writes
}
"""Factors of the time until the next fault. After the faults listed here, many processes have to start again."""


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    at: float
    """Seconds from the start of the fault test."""
    fault: str
    seed: int
    """Seed for the random choices of the fault itself."""


def plan(seed: int, seconds: float, faults: list[str]) -> list[ScheduledFault]:
    """Return a plan that consists of rounds: each round has every fault once, in a new random order."""
    dice = random.Random(seed)
    span = seconds - QUIET_FIRST_SECONDS - QUIET_LAST_SECONDS
    a_round = sum(RECOVERY.get(each, 1) for each in faults)
    rounds = max(1, round(span / (a_round * EVERY_SECONDS)))
    slot = span / (rounds * a_round)
    moments, at = [], QUIET_FIRST_SECONDS
    for each in (each for _ in range(rounds) for each in _shuffled(faults, dice)):
        moments.append(ScheduledFault(at + slot * dice.uniform(0.0, 0.6), each, dice.randrange(1 << 30)))
        at += slot * RECOVERY.get(each, 1)
    return moments


def _shuffled(faults: list[str], dice: random.Random) -> list[str]:
    """Return the faults in random order.

    Faults with a long recovery are in the first half, so that other faults overlap with the recovery.
    """
    order = [each for each in faults if each not in RECOVERY]
    dice.shuffle(order)
    for slow in (each for each in faults if each in RECOVERY):
        order.insert(dice.randrange(len(faults) // 2), slow)
    return order
