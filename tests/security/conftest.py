"""A database of one's own with its three roles: the owner's, the API's and the workers'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine

from tests.conftest import own_database, own_roles
from weelo_workers.models import migrate
from weelo_workers.models.engine import connect
from weelo_workers.settings import Settings

OF_ITS_OWN = 60  # beyond the numbers that workers and journeys have


@dataclass(frozen=True)
class Database:
    urls: dict[str, str] = field(repr=False)
    owner: Engine
    api: Engine
    workers: Engine

    def migrate(self) -> None:
        """As `weelo migrate` does it, with the roles to make."""
        migrate.upgrade_to_head(self.owner, Settings(**{k.lower(): v for k, v in self.urls.items()}))


@pytest.fixture(scope="module")
def database(worker_id: str) -> Iterator[Database]:
    number = OF_ITS_OWN + int(worker_id.removeprefix("gw") if worker_id.startswith("gw") else 0)
    url = own_database(number)
    urls = {"DATABASE_URL": url, **own_roles(url)}
    engines = [connect(each) for each in urls.values()]
    made = Database(urls, *engines)
    made.migrate()
    yield made
    for engine in engines:
        engine.dispose()
