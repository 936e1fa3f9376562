"""One running system, shared by the tests of all clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers import CLIENTS, own_database, own_redis
from tests.support.system import System


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = System(
        tmp_path_factory.mktemp("system") / "data dir",
        DATABASE_URL=own_database(CLIENTS),
        REDIS_URL=own_redis(CLIENTS),
        CORS_ORIGINS="*",  # allows every origin, because the port of the browser's page is not known yet
    )
    yield running
    running.stop()
