"""Processor time and memory of all processes of a running system, by kind of process."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.system import System
from weelo_workers.runtime.embedded import Postgres, Valkey

SUPERVISOR = "supervisor"


def kinds(system: System, data: Path) -> dict[str, list[int]]:
    """Return the pids by kind: `API`, `beat`, a worker's name, `supervisor` (with the reaper), `PostgreSQL`, `Redis`."""
    servers = {"PostgreSQL": Postgres(data).pid(), "Redis": Valkey(data).pid()}
    found: dict[str, list[int]] = {}
    for program in psutil.Process(system.process.pid).children():
        # The servers are the supervisor's children, too, but have kinds of their own.
        if program.pid not in servers.values():
            with suppress(psutil.NoSuchProcess):
                found.setdefault(_kind(program.cmdline()), []).extend(_tree(program.pid))
    found[SUPERVISOR] = [system.process.pid, *found.pop(SUPERVISOR, [])]
    for name, pid in servers.items():
        assert pid is not None, f"{name} does not run"
        found[name] = list(_tree(pid))
    return found


def processor_seconds(kinds: Mapping[str, list[int]]) -> dict[str, float]:
    """Return the processor seconds that each kind has used so far, including processes and threads that have ended."""
    return {kind: sum(map(_used, pids)) for kind, pids in kinds.items()}


def tree_seconds(pid: int) -> float:
    """Return the processor seconds that a process and its descendants have used so far."""
    return sum(map(_used, _tree(pid)))


def memory(kinds: Mapping[str, list[int]]) -> dict[str, float]:
    """Return the proportional set size of each kind in MB. A page that n processes share counts 1/n for each."""
    used: Counter[str] = Counter()
    for kind, pids in kinds.items():
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                used[kind] += psutil.Process(pid).memory_full_info().pss / 1e6
    return dict(used)


def _kind(words: list[str]) -> str:
    if "gunicorn" in words:
        return "API"
    if "beat" in words:
        return "beat"
    names = [word.removeprefix("--hostname=") for word in words if word.startswith("--hostname=")]
    return names[0].partition("@")[0] if names else SUPERVISOR


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(psutil.NoSuchProcess):
        yield from (child.pid for child in psutil.Process(pid).children(recursive=True))


def _used(pid: int) -> float:
    """Return the processor seconds of one process and of its ended child processes; 0 if the process itself has ended.

    When a child ends, the kernel adds its time to its parent's, so the sum over a tree includes ended processes.
    """
    try:
        times = psutil.Process(pid).cpu_times()
        if sys.platform == "linux":
            # The clock that clock_getcpuclockid(3) returns. It is exact to the nanosecond and includes ended threads;
            # /proc/PID/stat counts hundredths of a second, and /proc/PID/task lists only living threads.
            own = time.clock_gettime(~pid << 3 | 2)
        else:
            own = times.user + times.system
    except (psutil.NoSuchProcess, OSError):
        return 0.0
    return own + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
