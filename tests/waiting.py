"""Waiting for a condition with a bound: no sleeping to be lucky."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float = 10.0, every: float = 0.02) -> T:
    """The first true answer of `condition`. Raises AssertionError if there is none `within` seconds.

    An AssertionError of the condition counts as "not yet", and is the one shown if the time runs out.
    """
    deadline = time.monotonic() + within
    while True:
        failure: AssertionError | None = None
        try:
            if answer := condition():
                return answer
        except AssertionError as not_yet:
            failure = not_yet
        if time.monotonic() >= deadline:
            raise failure or AssertionError(
                f"not within {within} s: {getattr(condition, '__name__', condition)}"
            )
        time.sleep(every)
