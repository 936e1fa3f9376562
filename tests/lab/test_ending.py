"""If a run of the lab is ended by a signal, none of its servers keeps running and none of its files is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("lab")


@pytest.mark.parametrize("killed", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
def test_nothing_is_left_when_it_is_ended(tmp_path: Path, killed: signal.Signals) -> None:
    command = [sys.executable, "-m", "weelo_workers.entry", "lab", "replay", "--seed", "1"]
    playing = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        eventually(lambda: list(tmp_path.glob("weelo-lab-*/valkey/pid")), within=60)
        started = _using(tmp_path)
        assert started
        playing.send_signal(killed)
        ended = playing.wait(timeout=60)
        assert ended == (-killed if killed == signal.SIGKILL else 128 + killed)
        eventually(lambda: not list(tmp_path.glob("weelo-lab-*")), within=30)
        eventually(lambda: not [each for each in started if each.is_running()], within=30)
    finally:
        playing.kill()


def _using(folder: Path) -> list[psutil.Process]:
    """Return the processes whose environment or command line names this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(folder) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(process)
    return found
