"""The demo runs against a running system with the timers of `make run`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import DEMO, own_database, own_redis
from tests.support.sources import ROOT
from tests.support.system import System
from tests.support.tokens import SECRET
from weelo_workers.runtime.programs import DEMO_PACE

# Plays the demo, and ends with an error if a response or a frame was not as the documents say.
PLAY = """
import sys
from tests.support import answer_checks, deviations, message_checks
from weelo_demo import play
answer_checks.install()
message_checks.install()
code = play(*sys.argv[1:])
print(message_checks.finish(), "messages were checked")
sys.exit(code or "\\n".join(deviations.take()) or 0)
"""

pytestmark = pytest.mark.xdist_group("system")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[System]:
    """Yield a system with the demo's timers, in which a hold can expire before its request does."""
    running = System(
        tmp_path / "data dir",
        DATABASE_URL=own_database(DEMO),
        REDIS_URL=own_redis(DEMO),
        **DEMO_PACE,
    )
    yield running
    running.stop()


@pytest.mark.long
def test_every_scenario_of_the_demo_ends_as_it_should(stage: System) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", PLAY, stage.url, SECRET],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert shown.returncode == 0, shown.stdout[-5000:] + shown.stderr[-2000:]
    [checked] = re.findall(r"^(\d+) messages were checked$", shown.stdout, re.MULTILINE)
    assert int(checked) > 100
    assert "12 of 12 scenarios ended as they should" in shown.stdout
