"""The scheduler: a heap of functions to run, ordered by time, and at equal times by a number drawn from the seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable


class Scheduler:
    """Runs functions in the order of their times (microseconds).

    The seed decides the order of those with equal times.
    """

    def __init__(self, seed: str) -> None:
        self._heap: list[tuple[int, int, int, Callable[[], object]]] = []
        self._ties = random.Random(f"{seed} ties")
        self._count = 0

    def at(self, micros: int, act: Callable[[], object]) -> None:
        """Run `act` at this time."""
        self._count += 1
        heapq.heappush(self._heap, (micros, self._ties.getrandbits(32), self._count, act))

    def next_at(self) -> int | None:
        """Return the time of the next function; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Callable[[], object]:
        """Remove the next function and return it. Raises IndexError if there is none."""
        return heapq.heappop(self._heap)[-1]
