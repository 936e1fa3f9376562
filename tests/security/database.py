"""A database with its three roles."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Engine

from weelo_workers.models import migrate
from weelo_workers.settings import settings


@dataclass(frozen=True)
class Database:
    urls: dict[str, str] = field(repr=False)
    owner: Engine
    api: Engine
    workers: Engine

    def migrate(self) -> None:
        """Migrate and create the roles, as `weelo migrate` does."""
        migrate.upgrade_to_head(
            self.owner, settings().model_copy(update={name.lower(): url for name, url in self.urls.items()})
        )
