"""How long to wait before the next attempt: the longer, the more attempts have failed."""

from __future__ import annotations


def backoff(failures: int, *, first: float, longest: float) -> float:
    """Return the seconds to wait after so many failures in a row: `first`, doubled with each further one, up to `longest`.

    Without jitter. Callers whose attempts fail together multiply it by a random factor.
    """
    return min(first * 2.0 ** min(max(failures - 1, 0), 60), longest)
