"""The longer suite (`make test-long`, `pytest --long`): all tests, and races with more rounds."""

from __future__ import annotations

import os

VARIABLE = "WEELO_LONG_TESTS"


def rounds(short: int, long: int) -> int:
    """Return how many rounds to run: `long` with `--long`, else `short`."""
    return long if os.environ.get(VARIABLE) else short
