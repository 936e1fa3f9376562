"""Ends the children of a supervisor that was killed: none of them may work on unsupervised.

A small process of its own holds one end of a pipe whose other end only the supervisor has. When that closes, the
supervisor is gone, and whatever its roster still names is killed, whole sessions at once. (The kernel's parent-death
signal would reach only the direct children, and only on Linux.) Should the undertaker be killed as well, the next
start reads the same roster.
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

from weelo_workers.runtime.datadir import write_private
from weelo_workers.runtime.environment import composed
from weelo_workers.runtime.processes import Identity, kill_session


@dataclass(frozen=True, slots=True)
class ChildRegistry:
    """The file that names a supervisor's children: each the leader of a session, with its time of birth."""

    path: Path

    def write(self, children: Iterable[Identity]) -> None:
        named = [[child.pid, child.born] for child in children]
        write_private(self.path, json.dumps({"supervisor": os.getpid(), "children": named}), durable=False)

    def end(self, supervisor: int | None = None) -> int:
        """Kill those that live, and say how many. With `supervisor`: only if the roster is still that one's."""
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
    """Begin the undertaker of this process. It goes by itself when `stdin` of the returned process closes."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(registry.path), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",  # a process in another directory would keep its file system from being unmounted
        env=composed(os.environ),
    )


def main() -> None:
    path, supervisor = sys.argv[1:]
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # meant for the supervisor, whose end we wait for
    sys.stdin.buffer.read()
    ChildRegistry(Path(path)).end(int(supervisor))


if __name__ == "__main__":
    main()
