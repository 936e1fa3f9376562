"""Random requests get documented responses: no 5xx, no undescribed status or code, no body that does not fit its schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.campaign import LIMITS, fuzz
from tests.support.long import rounds
from tests.support.system import System

pytestmark = pytest.mark.xdist_group("system")

SECONDS = rounds(10, 30)
"""Seconds of the run. `make fuzz CASES=20000` runs longer, also the phase "coverage": thousands of requests at the limits."""


@pytest.mark.long
def test_random_requests_are_answered_as_documented(tmp_path: Path) -> None:
    system = System(tmp_path / "data", tmp_path / "system.log", **LIMITS)
    try:
        done = fuzz(system, tmp_path, seed=1, seconds=SECONDS, phases="examples,fuzzing,stateful")
    finally:
        system.stop()
    assert not done.failed, done.report
    # Successful operations prove that the API did not refuse all requests.
    assert len(done.succeeded) > 8, done.statuses
