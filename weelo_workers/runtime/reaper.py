"""The reaper: a process that kills the child processes of a supervisor that was killed, so that none runs unsupervised.

It reads from a pipe whose other end only the supervisor holds. When that end closes, the supervisor has ended, and the
reaper kills the sessions of all children in the registry file. (The kernel's parent-death signal would reach only direct
children, and only on Linux.) If the reaper is killed as well, the next start reads the same file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from weelo_workers.runtime.datadir import DataDir, write_private
from weelo_workers.runtime.environment import composed
from weelo_workers.runtime.processes import Identity, kill_session


@dataclass(frozen=True, slots=True)
class ChildRegistry:
    """The file that lists a supervisor's child processes by pid and start time. Each child leads a session."""

    path: Path

    def write(self, children: Iterable[Identity]) -> None:
        named = [[child.pid, child.born] for child in children]
        write_private(self.path, json.dumps({"supervisor": os.getpid(), "children": named}), durable=False)

    def end(self, supervisor: int | None = None) -> int:
        """Kill the listed children that still run. Return how many.

        `supervisor`: if it is given, children are killed only if the process with this pid wrote the file.
        """
        try:
            registry = json.loads(self.path.read_text())
            children = [Identity(int(pid), float(born)) for pid, born in registry["children"]]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        if supervisor not in (None, registry.get("supervisor")):
            return 0
        living = [child for child in children if child.alive()]
        for child in living:
            kill_session(child.pid)
        return len(living)


def spawn(registry: ChildRegistry) -> subprocess.Popen[bytes]:
    """Start the reaper of this process. The reaper ends when its `stdin` closes."""
    return start(__name__, str(registry.path), str(os.getpid()))


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a module as a reaper of this process. Its `stdin` is the pipe that it reads in `wait_for_the_end`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # / is used, because a file system cannot be unmounted while it contains the working directory of a process.
        cwd="/",
        env=composed(os.environ),
    )


def wait_for_the_end() -> None:
    """Wait in a reaper until the process that started it has ended."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # These signals are meant for the process that started the reaper, so the reaper ignores them.
        signal.signal(signum, signal.SIG_IGN)
    sys.stdin.buffer.read()


def main() -> None:
    path, supervisor = sys.argv[1:]
    wait_for_the_end()
    ChildRegistry(Path(path)).end(int(supervisor))
    # If the supervisor was killed, its description is still in the data dir, and is deleted here.
    DataDir.at(Path(path).parent).withdraw_if_dead()


if __name__ == "__main__":
    main()
