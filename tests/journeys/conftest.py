"""One running system, shared by all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fcm_server import FcmServer
from tests.support.servers import JOURNEYS, own_database, own_redis
from tests.support.system import System


@pytest.fixture(scope="package")
def fcm() -> Iterator[FcmServer]:
    server = FcmServer()
    yield server
    server.close()


@pytest.fixture(scope="package")
def system(fcm: FcmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # The system has its own database and Redis, because its workers keep running while other tests empty the shared
    # ones. Its timers are short, so that a request ends in seconds. With the production value a request ends after 120 s;
    # the tests with `World.tick` cover this value.
    running = System(
        tmp_path_factory.mktemp("system") / "data dir",
        DATABASE_URL=own_database(JOURNEYS),
        REDIS_URL=own_redis(JOURNEYS),
        FCM_ENDPOINT=fcm.url,
        BROADCAST_TIMEOUT_SECONDS="8",
        RADIUS_STEP_SECONDS="1",
    )
    yield running
    running.stop()
