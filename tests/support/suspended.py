"""Suspends processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil


@contextmanager
def suspended(pids: Sequence[int]) -> Iterator[None]:
    """Suspend these processes by SIGSTOP within the block. They keep their connections and ports, and do nothing."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def with_children(pid: int | None) -> list[int]:
    """Return the ids of this process (None: the current one) and of all its descendants."""
    main = psutil.Process(pid)
    return [main.pid, *(child.pid for child in main.children(recursive=True))]
