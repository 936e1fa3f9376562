"""The delay before the next attempt, which grows with each failed attempt."""

from __future__ import annotations


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after this many failures in a row: `first`, doubled with each further one, up to `longest`.

    The result has no jitter. Callers whose attempts fail together multiply it by a random factor.
    """
    return min(first * 2.0 ** min(max(failures - 1, 0), 60), longest)
