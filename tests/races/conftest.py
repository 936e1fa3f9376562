"""Runs races at the isolation level of production; with --long also at SERIALIZABLE, which must not change the outcome."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.world import World


@pytest.fixture(params=["READ COMMITTED", pytest.param("SERIALIZABLE", marks=pytest.mark.long)])
def world(migrated: None, request: pytest.FixtureRequest) -> Iterator[World]:
    # These modules are imported here, because they read the settings, which `pytest_configure` sets.
    from tests.support.world import World
    from weelo_workers.models.engine import connect

    engine = connect(os.environ["DATABASE_URL"], pool_size=10, max_overflow=60, isolation=request.param)
    world = World(executing_on=engine)
    world.empty()
    yield world
    engine.dispose()
