"""Checks of a PostgreSQL server, database and connection, for `weelo migrate` and `weelo doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from weelo_workers.models.base import Base
from weelo_workers.models.engine import LIMITS

# The oldest version that the PostgreSQL project maintained when this was written.
OLDEST_VERSION = 14

_FACTS = text("""
    SELECT current_setting('server_encoding') AS encoding,
           current_setting('server_version_num')::int / 10000 AS version,
           current_setting('transaction_read_only') = 'on' AS read_only,
           current_schema() AS schema,
           current_setting('search_path') AS search_path
""")
_SETTINGS = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
_HIDDEN = text("""
    SELECT relname FROM pg_class
     WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relrowsecurity AND relname = ANY(:tables)
     ORDER BY relname
""")
# If one of these is off, a crash of the server may lose accepted commands.
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


# SQLSTATEs, in this order: undefined_table, undefined_column, duplicate_table, insufficient_privilege, and
# read_only_sql_transaction (a standby).
_UNSUITED = {
    "42P01": "run `weelo migrate`",
    "42703": "run `weelo migrate`",
    "42P07": "another program's tables are in this schema; give Weelo a database of its own",
    "42501": "",
    "25006": "",
}


def trouble_with(error: DBAPIError) -> str | None:
    """Return a line about an error that is caused by the server or its contents; None for a defect of ours."""
    hint = _UNSUITED.get(getattr(error.orig, "pgcode", None) or "")
    if hint is None and not isinstance(error, OperationalError):
        return None
    line = str(error.orig).strip().splitlines()[0]
    return f"{line}: {hint}" if hint else line


def refusals(connection: Connection, *, writable: bool = True) -> list[str]:
    """Return a line for each reason why this database cannot be used. `writable`: False for a replica."""
    return list(_refusals(connection, writable))


def _refusals(connection: Connection, writable: bool) -> Iterator[str]:
    facts = connection.execute(_FACTS).one()
    if facts.version < OLDEST_VERSION:
        yield f"PostgreSQL {facts.version} is too old; {OLDEST_VERSION} or newer is needed"
    if facts.encoding != "UTF8":
        yield (
            f"the database's encoding is {facts.encoding} and must be UTF8; "
            "make another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
    if writable and facts.read_only:
        yield "the database is read-only (a standby, or default_transaction_read_only); use the primary's address"
    if facts.schema is None:
        yield f"no schema of the search_path ({facts.search_path}) exists or may be used; create it, or grant USAGE"


def shortcomings(connection: Connection) -> list[str]:
    """Return a line for each fault that does not stop this connection from working now, but will cause failures."""
    found = []
    chosen = {row.name: row.setting for row in connection.execute(_SETTINGS, {"names": list(LIMITS)})}
    if missing := sorted(name for name in LIMITS if chosen.get(name) == "0"):
        found.append(
            f"{', '.join(missing)} not in force: a pooler in between drops them; run `weelo migrate` with "
            "DATABASE_API_URL and DATABASE_WORKERS_URL, or give them to the role by ALTER ROLE … SET"
        )
    if hidden := connection.scalars(_HIDDEN, {"tables": sorted(Base.metadata.tables)}).all():
        found.append(
            f"row-level security hides rows of {', '.join(hidden)}; ALTER TABLE … DISABLE ROW LEVEL SECURITY"
        )
    return found


def warnings(connection: Connection) -> list[str]:
    """Return a line for each server setting that may lose accepted commands."""
    chosen = {row.name: row.setting for row in connection.execute(_SETTINGS, {"names": list(_DURABLE)})}
    return [
        f"{name} is off: a crash of the server may lose accepted commands"
        for name in _DURABLE
        if chosen.get(name) == "off"
    ]
