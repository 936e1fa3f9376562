"""Waits for a condition, for a bounded time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from weelo_workers.runtime.server import EmbeddedServer

T = TypeVar("T")

MAX_SLOWDOWN = 4.0  # waits are at most this many times as long as on an idle machine; pytest-timeout ends a test in any case


def slowdown() -> float:
    """Return how many processes compete for each processor (load average of a minute), from 1 to MAX_SLOWDOWN."""
    return min(MAX_SLOWDOWN, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def eventually(
    condition: Callable[[], T], within: float = 10.0, every: float = 0.02, *, exactly: bool = False
) -> T:
    """Return the first true result of `condition`. Raises AssertionError if there is none after `within` seconds.

    On a busy machine the time is multiplied by `slowdown()`, unless `exactly` is set. An AssertionError that
    `condition` raises counts as a false result; if the last call raised one, it is raised when the time is over.
    """
    began = time.monotonic()
    while True:
        failure: AssertionError | None = None
        try:
            if answer := condition():
                return answer
        except AssertionError as not_yet:
            failure = not_yet
        waited = time.monotonic() - began
        if waited >= within and (exactly or waited >= within * slowdown()):
            raise failure or AssertionError(
                f"not within {waited:.1f} s: {getattr(condition, '__name__', condition)}"
            )
        time.sleep(every)


def pid_of(server: EmbeddedServer, within: float = 20.0) -> int:
    """Return the server's pid as soon as it runs. Raises AssertionError with the end of its log if it does not.

    Tests that send signals to the server use this function. On a busy machine the restart of a killed server takes
    time, and a signal to the pid 0 would reach the tests themselves.
    """

    def running() -> int:
        pid = server.pid()
        log = server.log.read_text(errors="replace")[-1_000:] if pid is None and server.log.exists() else ""
        assert pid is not None, f"{server.name} does not run; the end of its log:\n{log}"
        return pid

    return eventually(running, within)
