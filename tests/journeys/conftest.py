"""One running system for all journeys of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system import System


@pytest.fixture(scope="session")
def system(migrated: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # Short timers, so that a life is played in seconds; the 120 s are shown where the clock can be turned.
    running = System(
        tmp_path_factory.mktemp("system") / "data dir",
        BROADCAST_TIMEOUT_SECONDS="8",
        RADIUS_STEP_SECONDS="1",
    )
    yield running
    running.stop()
