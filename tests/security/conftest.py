"""A database with its three roles, and a whole system on embedded servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.database import Database
from tests.support.servers import ROLES, own_database, own_roles, worker_number
from tests.support.system import System
from weelo_workers.models import migrate
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres, Valkey


@pytest.fixture(scope="module")
def database(worker_id: str) -> Iterator[Database]:
    number = ROLES + worker_number(worker_id)
    url = own_database(number)
    urls = {"DATABASE_URL": url, **own_roles(url)}
    engines = [connect(each) for each in urls.values()]
    made = Database(urls, *engines)
    made.migrate()
    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="package")
def embedded() -> Iterator[System]:
    """Yield a `weelo up` with its own servers, on a data dir from a version of Weelo without database roles."""
    above = Path(tempfile.mkdtemp(prefix="weelo-test-"))
    above.chmod(0o755)  # PostgreSQL must enter the folder; it runs as another user if root runs the tests
    folder = above / ".weelo"
    postgres, valkey = Postgres(folder), Valkey(folder)
    try:
        postgres.start()
        earlier = connect(postgres.create_database("weelo"))
        migrate.upgrade_to_head(earlier)
        earlier.dispose()
        # Long limits, so that no deadline passes and no ring widens during the tests.
        patient = dict.fromkeys(
            ("BROADCAST_TIMEOUT_SECONDS", "DRIVER_ACCEPT_SECONDS", "HOLD_SECONDS", "RADIUS_STEP_SECONDS"),
            "3600",
        )
        running = System(folder, DATABASE_URL="", REDIS_URL="", **patient)
        try:
            yield running
        finally:
            running.stop()
    finally:
        postgres.remove()
        valkey.remove()
        shutil.rmtree(above)
