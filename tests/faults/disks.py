"""Disks that are full: for one process by its limit on files, for Redis by a small file system of its own."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

SIZE = "256m"  # Redis rewrites its log from 64 MB on


class SmallDisk:
    """A file system in memory at this place. `why_not`: it cannot be had here, and why."""

    def __init__(self, at: Path, size: str = SIZE) -> None:
        self.at = at
        self.why_not = ""
        at.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            at.parent.chmod(0o711)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(at)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            self.why_not = mounted.stderr.strip() or "mount refused"

    @contextmanager
    def full(self) -> Iterator[None]:
        ballast = self.at / "ballast"
        with ballast.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        try:
            yield
        finally:
            ballast.unlink()

    def remove(self) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.at)], check=False)


@contextmanager
def no_room(pid: int) -> Iterator[None]:
    """Meanwhile this process, and whoever it starts, can write to no file: each attempt fails as on a full disk."""
    _, hardest = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hardest))
    try:
        yield
    finally:
        for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(ProcessLookupError, FileNotFoundError):
                _let_write(each.pid, hardest)


def _let_write(pid: int, hardest: int) -> None:
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hardest, hardest))
    except PermissionError:
        # PostgreSQL under its own account. Begun meanwhile, it has to begin again.
        if re.search(r"^Max file size +0 ", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE):
            os.kill(pid, signal.SIGKILL)
