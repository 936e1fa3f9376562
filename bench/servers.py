"""Connects this process to the servers that are measured, even if modules have already read other settings."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine

from weelo_workers import redis_client, settings as settings_module
from weelo_workers.models import engine as engines
from weelo_workers.models.migrate import upgrade_to_head
from weelo_workers.runtime.embedded import Postgres, Valkey


def use_system(data: Path) -> None:
    """Connect this process to the servers of the running system with this data dir."""
    use(database_url=Postgres(data).url("weelo"), redis_url=Valkey(data).url())


def use(*, database_url: str, redis_url: str) -> None:
    os.environ |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    settings_module.settings.cache_clear()
    redis_client.redis.cache_clear()
    engines.drop_inherited_connections()


def own_database(data: Path, name: str) -> Engine:
    """Create a database on the system's PostgreSQL that nothing else uses, and return an engine for it."""
    engine = engines.connect(Postgres(data).create_database(name))
    upgrade_to_head(engine)
    return engine
