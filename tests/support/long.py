"""The longer suite (`make test-long`, `pytest --long`): all tests, and races with more rounds."""

from __future__ import annotations

import os

import pytest

VARIABLE = "WEELO_LONG_TESTS"


def rounds(short: int, long: int) -> int:
    """Return how many rounds to run: `long` with `--long`, else `short`."""
    return long if os.environ.get(VARIABLE) else short


def is_long(item: pytest.Item) -> bool:
    """Return whether this test runs only with `--long`."""
    if item.get_closest_marker("long"):
        return True
    kept = item.get_closest_marker("long_except")
    return kept is not None and item.name.partition("[")[2].rpartition("]")[0] not in kept.args
