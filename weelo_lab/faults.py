"""The faults of a run, drawn from the seed: what may happen to each message, commit and frame."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each fault happens, as a probability between 0 and 1.

    `lost`: a wake-up is not delivered. `doubled`: it is delivered twice. `late`: it is delivered up to `late_seconds` later.
    `crashed`: the process ends between a commit and the actions after the commit, so neither wake-ups nor presence follow.
    `stale`: a frame reaches its reader up to `stale_seconds` later, as with a socket that was cut off.
    """

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    crashed: float = 0.0
    stale: float = 0.0
    late_seconds: float = 5.0
    stale_seconds: float = 30.0

    @property
    def any(self) -> bool:
        """Whether any fault is possible."""
        return any((self.lost, self.doubled, self.late, self.crashed, self.stale))


NO_FAULTS = Faults()
ROUGH = Faults(lost=0.05, doubled=0.1, late=0.1, crashed=0.05, stale=0.05)
"""All faults at once, each often."""


class FaultDice:
    """Decides from the seed which faults happen."""

    def __init__(self, seed: str, faults: Faults) -> None:
        self._random = random.Random(f"{seed} faults")
        self.faults = faults

    def happens(self, probability: float) -> bool:
        """Return whether a fault of this probability happens. Without faults nothing is drawn."""
        return probability > 0 and self._random.random() < probability

    def seconds(self, at_most: float) -> float:
        """Return a time between 0 and `at_most`."""
        return self._random.uniform(0.0, at_most)
