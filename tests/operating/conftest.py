"""One running system for the tests of operation, and access to its database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.operating.rows import Rows
from tests.support.servers import OPERATED, own_database, own_redis
from tests.support.system import System
from weelo_workers.models.engine import connect

DEADLY = Path(__file__).parent / "deadly"


@pytest.fixture(scope="session")
def database() -> str:
    return own_database(OPERATED)


@pytest.fixture(scope="package")
def operated(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[System]:
    running = System(
        tmp_path_factory.mktemp("operated") / "data",
        DATABASE_URL=database,
        REDIS_URL=own_redis(OPERATED),
        BROADCAST_TIMEOUT_SECONDS="5",
        RADIUS_STEP_SECONDS="1",
        PYTHONPATH=str(DEADLY),
    )
    yield running
    running.stop()


@pytest.fixture(scope="package")
def engine(database: str) -> Iterator[Engine]:
    made = connect(database)
    yield made
    made.dispose()


@pytest.fixture
def rows(engine: Engine) -> Rows:
    return Rows(engine)
