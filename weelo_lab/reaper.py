"""The reaper of the lab: a process that removes the servers and their folder if the lab was killed.

It reads from a pipe whose other end only the lab holds. That end closes when the lab ends, also if it is killed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from weelo_workers.runtime import reaper
from weelo_workers.runtime.embedded import Postgres, Valkey


def spawn(folder: Path) -> subprocess.Popen[bytes]:
    """Start the reaper of this process for the servers in this folder. It acts when its `stdin` closes."""
    return reaper.start(__name__, str(folder))


def main() -> None:
    folder = Path(sys.argv[1])
    reaper.wait_for_the_end()
    for server in (Postgres(folder), Valkey(folder)):
        server.remove()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
