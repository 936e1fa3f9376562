"""One running system for all journeys of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import own_database, own_redis
from tests.push.fcm_server import FcmServer
from tests.system import System

OF_ITS_OWN = 20  # beyond the numbers that workers have


@pytest.fixture(scope="package")
def fcm() -> Iterator[FcmServer]:
    server = FcmServer()
    yield server
    server.close()


@pytest.fixture(scope="package")
def system(fcm: FcmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # A database and a Redis of its own: its workers go on while other tests empty theirs.
    # Short timers, so that a life is played in seconds; the 120 s are shown where the clock can be turned.
    running = System(
        tmp_path_factory.mktemp("system") / "data dir",
        DATABASE_URL=own_database(OF_ITS_OWN),
        REDIS_URL=own_redis(OF_ITS_OWN),
        FCM_ENDPOINT=fcm.url,
        BROADCAST_TIMEOUT_SECONDS="8",
        RADIUS_STEP_SECONDS="1",
    )
    yield running
    running.stop()
