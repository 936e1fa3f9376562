"""The rights of database roles: the API reads and inserts commands, workers write rows, the owner creates tables.

Each run of `weelo migrate` revokes and grants the rights anew in its transaction, so that new tables are included and
rights that are no longer needed are removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg2 import errors as pg, sql
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection

from weelo_workers import database_url
from weelo_workers.models.base import Base
from weelo_workers.models.console import ConsoleSignOut
from weelo_workers.models.engine import LIMITS, SESSION
from weelo_workers.models.mailbox import MailboxRow, Replay
from weelo_workers.settings import ConfigurationError, Settings

# The API inserts a row for each command, each repeated request, and each sign-out from the console. Workers write all
# other rows.
API_INSERTS = (MailboxRow.__tablename__, Replay.__tablename__, ConsoleSignOut.__tablename__)
ROWS = "SELECT, INSERT, UPDATE, DELETE"

_NO_MORE_THAN_LOG_IN = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


def grant_roles(connection: Connection, chosen: Settings) -> None:
    """Create the roles that DATABASE_API_URL and DATABASE_WORKERS_URL name, and grant each the rights that it needs.

    Without these variables nothing happens, and all processes connect as the owner. Raises ConfigurationError.
    """
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor:
        api = _role(cursor, "DATABASE_API_URL", chosen.database_api_url)
        workers = _role(cursor, "DATABASE_WORKERS_URL", chosen.database_workers_url)
        if api is not None and api == workers:
            raise ConfigurationError("DATABASE_API_URL: must name another role than DATABASE_WORKERS_URL")
        cursor.execute("SELECT current_schema()")
        schema = cursor.fetchone()[0]
        tables = sorted(Base.metadata.tables)
        for role in (api, workers):
            if role is not None:
                _begin_with_nothing(cursor, role, schema)
                _on_tables(cursor, "SELECT", tables, role, schema)
                # Each role may read this table, because its processes call `is_at_head`.
                _on_tables(cursor, "SELECT", ["alembic_version"], role, schema)
                _set_defaults(cursor, role, schema)
        if api is not None:
            _on_tables(cursor, "INSERT", API_INSERTS, api, schema)
        if workers is not None:
            _on_tables(cursor, ROWS, tables, workers, schema)


def _role(cursor: Any, variable: str, address: str | None) -> str | None:
    """Return the role of this URL, after creating it if it is missing and setting its password; None without a URL."""
    if address is None:
        return None
    url = database_url.read(address)
    name = url.get("user")
    cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = %s", (name,))
    there = cursor.fetchone()
    if not name or (there and (there[0] == name or there[1])):
        raise ConfigurationError(f"{variable}: must name a role of its own, not the owner or a superuser")
    attributes = sql.SQL("{} ROLE {} {}").format(
        sql.SQL("ALTER" if there else "CREATE"), sql.Identifier(name), sql.SQL(_NO_MORE_THAN_LOG_IN)
    )
    if not _may(cursor, attributes) and there is None:
        raise ConfigurationError(
            f"{variable}: there is no role {name}, and the one of DATABASE_URL may not make it"
        )
    if url.get("password"):
        # The password is sent as a SCRAM verifier, because the server may log the statement.
        verifier = encrypt_password(url["password"], name, scope=cursor.connection, algorithm="scram-sha-256")
        _may(cursor, sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier)))
    return name


def _may(cursor: Any, statement: sql.Composed) -> bool:
    """Execute the statement.

    Return False, without any effect, if our role lacks the right, for example because an administrator manages roles.
    """
    cursor.execute("SAVEPOINT role")
    try:
        cursor.execute(statement)
    except pg.InsufficientPrivilege:
        cursor.execute("ROLLBACK TO SAVEPOINT role")
        return False
    return True


def _begin_with_nothing(cursor: Any, role: str, of: str) -> None:
    """Revoke all rights, also those of PUBLIC.

    By default PUBLIC may create temporary tables, and before PostgreSQL 15 also permanent ones.
    """
    database = sql.Identifier(cursor.connection.info.dbname)
    schema, name = sql.Identifier(of), sql.Identifier(role)
    for statement in (
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {role}",
        "REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role}",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
    ):
        cursor.execute(sql.SQL(statement).format(database=database, schema=schema, role=name))


def _on_tables(cursor: Any, what: str, tables: Iterable[str], role: str, schema: str) -> None:
    names = sql.SQL(", ").join(sql.Identifier(schema, table) for table in tables)
    cursor.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(what), names, sql.Identifier(role)))


def _set_defaults(cursor: Any, role: str, schema: str) -> None:
    """Set the time limits as defaults of the role in this database, because some poolers drop a connection's own settings."""
    defaults = {**LIMITS, **SESSION, **({} if schema == "public" else {"search_path": schema})}
    for name, value in defaults.items():
        statement = sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
            sql.Identifier(role),
            sql.Identifier(cursor.connection.info.dbname),
            sql.Identifier(name),
            sql.Literal(value),
        )
        _may(cursor, statement)
