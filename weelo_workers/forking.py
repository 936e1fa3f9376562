"""Delays a fork while another thread may hold a lock that the child process needs.

A child process gets a copy of all locks but only the thread that forked, so a lock that another thread held at that
moment stays locked for ever in the child. Python resets some of its own locks after a fork, but not those of modules
that are being imported; libpq and OpenSSL have further ones. A worker forks its children while its own threads answer
scrapes and query the database.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_DELAY_SECONDS = 2.0
"""A thread that takes longer waits for a server that does not answer, and holds no lock meanwhile."""


class _Gate:
    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Reset this object: no thread is in a block of `delayed`, no fork waits, and the lock is free."""
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._fork_waits = False

    def enter(self) -> None:
        """Count this thread as being in a block of `delayed`. If a fork is waiting, wait first until it is done."""
        with self._changed:
            self._changed.wait_for(lambda: not self._fork_waits)
            self._inside += 1

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until no thread is in a block of `delayed`, and let no thread enter one until `open` is called."""
        self._changed.acquire()
        self._fork_waits = True
        self._changed.wait_for(lambda: self._inside == 0, LONGEST_DELAY_SECONDS)

    def open(self) -> None:
        self._fork_waits = False
        self._changed.notify_all()
        self._changed.release()


_gate = _Gate()
os.register_at_fork(before=_gate.close, after_in_parent=_gate.open, after_in_child=_gate.begin_anew)


@contextmanager
def delayed() -> Iterator[None]:
    """Delay each fork of this process until the block ends, but at most LONGEST_DELAY_SECONDS.

    The block must not wait for another thread that enters such a block.
    """
    process = os.getpid()
    _gate.enter()
    try:
        yield
    finally:
        # In a child that was forked inside the block, `begin_anew` has set the count of threads to zero already.
        if os.getpid() == process:
            _gate.leave()
