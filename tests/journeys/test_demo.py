"""The demo is a journey, too: it plays against a running system and ends as it should."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import SECRET
from tests.system import System

pytestmark = pytest.mark.xdist_group("system")


def test_every_scenario_of_the_demo_ends_as_it_should(system: System) -> None:
    code = f"import sys; from weelo_demo import play; sys.exit(play({system.url!r}, {SECRET!r}))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=150
    )
    assert shown.returncode == 0, shown.stdout[-5000:] + shown.stderr[-2000:]
    assert "6 of 6 scenarios ended as they should" in shown.stdout
