"""Stops beat for a while, so that only messages of the broker can cause a command to be executed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.system import System


@contextmanager
def beat_stopped(system: System) -> Iterator[None]:
    pids = system.pids("beat")
    assert pids, "beat does not run"
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
