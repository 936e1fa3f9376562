"""The one place from which workers get new ids and random pauses.

They are random, unless a process has chosen a seed: the lab (`weelo_lab`) plays the same events again from the same seed.
Secrets, tokens and names of processes do not come from here.
"""

from __future__ import annotations

import random
from uuid import UUID, uuid4

_seeded: random.Random | None = None


def use_seed(seed: str | None) -> None:
    """Derive all later ids and pauses of this process from `seed`. If `seed` is None, make them random again."""
    global _seeded  # noqa: PLW0603 (a process has one source, as it has one clock)
    _seeded = None if seed is None else random.Random(seed)


def new_id() -> UUID:
    """Return a new id: a UUID of version 4."""
    if _seeded is None:
        return uuid4()
    return UUID(int=_seeded.getrandbits(128), version=4)


def uniform(low: float, high: float) -> float:
    """Return a random number between `low` and `high`, such as the factor that makes a pause longer or shorter."""
    return (_seeded or random).uniform(low, high)
