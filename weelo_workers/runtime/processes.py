"""Which process is which: a pid is reused, a pid with its time of birth is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

# Linux derives the time of birth from the boot time, which moves a little when the clock is set right.
BIRTH_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Identity:
    """One particular process. `born` is in seconds since the epoch."""

    pid: int
    born: float

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this pid now, None if there is none (a zombie is none)."""
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
    """The living processes of the session that `leader` began, whether or not it lives itself."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader and Identity.of(pid) is not None:
                found.append(pid)
    return found


def kill_session(leader: int, within: float = 2.0) -> None:
    """End every process of a session, including those that it forks meanwhile, in at most `within` seconds."""
    deadline = time.monotonic() + within
    while (members := members_of_session(leader)) and time.monotonic() < deadline:
        send(signal.SIGKILL, members)
        time.sleep(0.01)


def send(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Signal processes, some of which may just have gone."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def named_and_working_in(name: str, directory: str) -> list[psutil.Process]:
    """Living processes called `name` whose working directory is `directory`, eldest first.

    Servers change into their data directory and stay there, so this recognises one even after its pid file was lost.
    Linux says "(deleted)" of a directory that was removed under a process: that process is meant too.
    """
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"] != name or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.cwd().removesuffix(" (deleted)") == directory:
                found.append(process)
    return sorted(found, key=psutil.Process.create_time)
