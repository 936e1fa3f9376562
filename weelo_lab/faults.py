"""The faults of a run, drawn from the seed: what may happen to each message, commit and frame."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from weelo_workers.messaging.wakeup import WakeUp


class FaultPlan(Protocol):
    """Decides what happens to messages, commits, sweeps and frames. The engine asks in the order in which they come."""

    @property
    def any(self) -> bool:
        """Whether any fault is possible."""

    def deliveries(self, wake_up: WakeUp) -> list[float]:
        """Return by how many seconds each delivery of this wake-up is late: `[0.0]` without a fault, `[]` if it is lost."""

    def crashes(self, command: str) -> bool:
        """Return whether the process ends just after this command's commit, before its wake-ups are sent."""

    def sweeps(self, micros: int) -> bool:
        """Return whether beat is running at this time."""

    def stale_seconds(self) -> float:
        """Return by how many seconds the next frame is delayed."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each fault happens, as a probability between 0 and 1.

    `lost`: a wake-up is not delivered. `doubled`: it is delivered twice. `late`: it is delivered up to `late_seconds` later.
    `crashed`: the process ends just after a commit, before it sends wake-ups and updates presence.
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
    """A fault plan that decides from the seed."""

    def __init__(self, seed: str, faults: Faults) -> None:
        self._random = random.Random(f"{seed} faults")
        self._faults = faults
        self.any = faults.any

    def deliveries(self, wake_up: WakeUp) -> list[float]:  # noqa: ARG002 (all alike)
        if self._happens(self._faults.lost):
            return []
        late = self._seconds(self._faults.late_seconds) if self._happens(self._faults.late) else 0.0
        if self._happens(self._faults.doubled):
            return [late, late + self._seconds(self._faults.late_seconds)]
        return [late]

    def crashes(self, command: str) -> bool:  # noqa: ARG002 (all alike)
        return self._happens(self._faults.crashed)

    def sweeps(self, micros: int) -> bool:  # noqa: ARG002 (always)
        return True

    def stale_seconds(self) -> float:
        return self._seconds(self._faults.stale_seconds) if self._happens(self._faults.stale) else 0.0

    def _happens(self, probability: float) -> bool:
        """Return whether a fault of this probability happens. Without faults nothing is drawn."""
        return probability > 0 and self._random.random() < probability

    def _seconds(self, at_most: float) -> float:
        """Return a time between 0 and `at_most`."""
        return self._random.uniform(0.0, at_most)
