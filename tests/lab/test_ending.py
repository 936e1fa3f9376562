"""A lab that is ended leaves no server and no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("lab")


def test_nothing_is_left_when_it_is_terminated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "weelo_workers.entry", "lab", "replay", "--seed", "1"]
    playing = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        eventually(lambda: list(tmp_path.glob("weelo-lab-*/valkey/pid")), within=60)
        playing.send_signal(signal.SIGTERM)
        assert playing.wait(timeout=60) == 128 + signal.SIGTERM
    finally:
        playing.kill()
    assert not list(tmp_path.glob("weelo-lab-*"))
