"""One running system for the tests of operation, and access to its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.conftest import own_database, own_redis
from tests.system import System
from weelo_workers.models.engine import connect

DEADLY = Path(__file__).parent / "deadly"
OF_ITS_OWN = 25  # above the numbers of workers, and different from that of the journeys

Rows = Callable[..., list[Any]]


@pytest.fixture(scope="session")
def database() -> str:
    return own_database(OF_ITS_OWN)


@pytest.fixture(scope="package")
def operated(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[System]:
    running = System(
        tmp_path_factory.mktemp("operated") / "data",
        DATABASE_URL=database,
        REDIS_URL=own_redis(OF_ITS_OWN),
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
    """Return a function that runs a statement in its own transaction and returns its rows, if any."""

    def run(query: str, **parameters: Any) -> list[Any]:
        with engine.begin() as connection:
            result = connection.execute(text(query), parameters)
            return list(result.all()) if result.returns_rows else []

    return run
