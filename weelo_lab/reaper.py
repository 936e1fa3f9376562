"""The reaper of the lab: a process that removes the servers and their folder if the lab was killed.

It reads from a pipe whose other end only the lab holds, so it learns of the end of the lab however that ended.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from weelo_workers.runtime.embedded import Postgres, Valkey
from weelo_workers.runtime.environment import composed


def spawn(folder: Path) -> subprocess.Popen[bytes]:
    """Start the reaper of this process for the servers in this folder. It acts when its `stdin` closes."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # A file system cannot be unmounted while it contains the working directory of a process.
        cwd="/",
        env=composed(os.environ),
    )


def main() -> None:
    folder = Path(sys.argv[1])
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # These signals are meant for the lab. The reaper ignores them, because it acts only when the lab has ended.
        signal.signal(signum, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for server in (Postgres(folder), Valkey(folder)):
        server.remove()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
