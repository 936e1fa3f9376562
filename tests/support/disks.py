"""Simulates full disks: for a process by its file size limit, for a server by a small file system of its own."""

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

from tests.support.waiting import eventually


class SmallDisk:
    """A tmpfs mounted at `at`. `why_not`: the reason why mounting failed; empty if it succeeded."""

    def __init__(self, at: Path, megabytes: int) -> None:
        self.at, self._size = at, megabytes << 20
        at.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            at.parent.chmod(0o711)
        self.why_not = _mount("-t", "tmpfs", "-o", f"size={self._size},mode=0711", "tmpfs", str(at))

    @contextmanager
    def full(self) -> Iterator[None]:
        """Shrink the file system to the size of its contents for the duration of the context."""
        eventually(
            self._fits_what_is_on_it, within=5
        )  # several attempts, because resizing fails if a server has written since the size was measured
        try:
            yield
        finally:
            assert self._resize(self._size), f"{self.at} cannot be made as large as it was"

    def remove(self) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.at)], check=False)

    def _used(self) -> int:
        now = os.statvfs(self.at)
        return (now.f_blocks - now.f_bfree) * now.f_frsize

    def _fits_what_is_on_it(self) -> bool:
        return self._resize(self._used())

    def _resize(self, size: int) -> bool:
        return not _mount("-o", f"remount,size={size}", str(self.at))


def _mount(*arguments: str) -> str:
    """Run `mount`. Return its error message, empty if it succeeded."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    return (done.stderr.strip() or "mount refused") if done.returncode else ""


@contextmanager
def no_room(pid: int) -> Iterator[None]:
    """Let all file writes of this process and of those it starts fail as on a full disk, by a file size limit of 0."""
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
        # PostgreSQL runs as another user, so its limit cannot be changed from here. If it was started under the limit, it is
        # killed, and starts again without the limit.
        if re.search(r"^Max file size +0 ", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE):
            os.kill(pid, signal.SIGKILL)
