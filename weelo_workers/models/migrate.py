"""Upgrades the schema to the newest version, and sets the rights of the roles. Safe to run again and concurrently."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from weelo_workers.models import sandbox
from weelo_workers.models.engine import engine, limit_statements
from weelo_workers.models.roles import grant_roles
from weelo_workers.models.server import refusals
from weelo_workers.settings import ConfigurationError, Settings, settings

# The advisory lock's key: any number, but the same in all migrators ("weelo" in ASCII).
_MIGRATING = 0x7765656C6F


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade_to_head(on: Engine | None = None, chosen: Settings | None = None) -> None:
    """Upgrade the schema and grant the roles, in one transaction.

    Of several processes that call this, one upgrades. The others wait for an advisory lock, and then have nothing to
    upgrade. Raises ConfigurationError for a database that cannot be used.
    """
    with (on or engine()).begin() as connection:
        if reasons := refusals(connection):
            raise ConfigurationError(f"DATABASE_URL: {reasons[0]}")
        # The time limits are longer here, because a migration may take longer than a request, and may wait for another
        # migrator.
        limit_statements(connection, 600)
        connection.execute(text("SET LOCAL lock_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        if unknown := _unknown_revisions(connection):
            raise ConfigurationError(
                f"DATABASE_URL: the schema is at revision {unknown[0]}, which this version of Weelo does not know: it is of "
                "a newer version, or another program's; use that version, or a database of its own"
            )
        is_sandbox = (chosen or settings()).is_sandbox
        if is_sandbox:
            _create_sandbox(connection)
        command.upgrade(alembic_config(connection), "head")
        grant_roles(connection, chosen or settings())
        if is_sandbox:
            sandbox.grant(connection)


def _create_sandbox(connection: Connection) -> None:
    try:
        sandbox.create(connection)
    except ValueError as problem:
        raise ConfigurationError(f"DATABASE_URL: {problem}") from None


def _unknown_revisions(connection: Connection) -> list[str]:
    known = {script.revision for script in _scripts(connection).walk_revisions()}
    return sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)


def _scripts(connection: Connection) -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config(connection))


def is_at_head(connection: Connection) -> bool:
    """Return whether the schema has the version of this code, or a newer one, as during a deploy.

    Return False also if the database belongs to a sandbox and this system does not, or the other way round.
    """
    current = set(MigrationContext.configure(connection).get_current_heads())
    newer = set(_unknown_revisions(connection)) == current
    at_head = bool(current) and (newer or current == set(_scripts(connection).get_heads()))
    return at_head and sandbox.is_marked(connection) == settings().is_sandbox
