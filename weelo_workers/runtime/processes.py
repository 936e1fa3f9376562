"""Identity of processes: a pid may be reused, but a pid and its start time together are unique."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

# Two readings of one start time may differ by this. Linux derives it from the boot time, which changes a little when
# the clock is corrected.
BIRTH_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Identity:
    """One particular process. `born` is in seconds since the epoch."""

    pid: int
    born: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Return the process that has this pid now; None if there is none, or only a zombie."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.Error:
            return None

    def alive(self) -> bool:
        now = Identity.of(self.pid)
        return now is not None and abs(now.born - self.born) < BIRTH_TOLERANCE_SECONDS


def members_of_session(leader: int) -> list[int]:
    """Return the running processes of the session that `leader` began, even if the leader itself has ended."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader and Identity.of(pid) is not None:
                found.append(pid)
    return found


def kill_session(leader: int, within: float = 2.0) -> None:
    """Kill all processes of a session, also those that are forked during the call. Stop after `within` seconds."""
    deadline = time.monotonic() + within
    while (members := members_of_session(leader)) and time.monotonic() < deadline:
        send(signal.SIGKILL, members)
        time.sleep(0.01)


def send(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Signal these processes. Those that have ended are skipped."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def named_and_working_in(name: str, directory: str) -> list[psutil.Process]:
    """Return the running processes called `name` whose working directory is `directory`, oldest first.

    Servers change into their data directory and stay there, so a server is found even after its pid file was lost. If
    the directory was removed, Linux appends "(deleted)" to its path, and the process is returned as well.
    """
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"] != name or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.cwd().removesuffix(" (deleted)") == directory:
                found.append(process)
    return sorted(found, key=psutil.Process.create_time)
