"""Checks of a PostgreSQL server, database and connection, for `weelo migrate` and `weelo doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ARRAY, Connection, Text, bindparam, text
from sqlalchemy.exc import DBAPIError, OperationalError

from weelo_workers.models import sandbox
from weelo_workers.models.base import Base
from weelo_workers.models.engine import LIMITS, SESSION
from weelo_workers.settings import settings

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
# The schema of this system is the first one in the search_path that has these tables.
_HIDDEN_BY = text("""
    WITH path AS (SELECT to_regnamespace(quote_ident(name)) AS schema, position
                    FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name, position)),
         ours AS (SELECT path.schema FROM path JOIN pg_class ON relnamespace = path.schema AND relname = ANY(:first)
                   GROUP BY path.schema, path.position HAVING count(*) = cardinality(:first)
                   ORDER BY path.position LIMIT 1)
    SELECT hiding.relnamespace::regnamespace || '.' || relname AS hiding, ours.schema AS hidden_in
      FROM ours JOIN pg_class AS hidden ON hidden.relnamespace = ours.schema AND relname = ANY(:tables)
           JOIN pg_class AS hiding USING (relname)
     WHERE hiding.oid <> hidden.oid AND pg_table_is_visible(hiding.oid)
     ORDER BY relname
""").bindparams(bindparam("first", type_=ARRAY(Text)), bindparam("tables", type_=ARRAY(Text)))
_FIRST_TABLES = ["alembic_version", "broadcasts", "log_lines", "mailbox", "truck_requests"]
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
    """Return a message about an error that is caused by the server or its contents; None if our code is the cause."""
    hint = _UNSUITED.get(getattr(error.orig, "pgcode", None) or "")
    if hint is None and not isinstance(error, OperationalError):
        return None
    line = str(error.orig).strip().splitlines()[0]
    return f"{line}: {hint}" if hint else line


def refusals(connection: Connection, *, writable: bool = True) -> list[str]:
    """Return a message for each reason why this database cannot be used. `writable`: False for a replica."""
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
    names = {"first": _FIRST_TABLES, "tables": ["alembic_version", *Base.metadata.tables]}
    if hiding := connection.execute(_HIDDEN_BY, names).all():
        yield (
            f"{', '.join(row.hiding for row in hiding)} hides the table of the same name in {hiding[0].hidden_in}, which is "
            f"Weelo's; rename it, or put {hiding[0].hidden_in} first in the search_path ({facts.search_path})"
        )
    if reason := sandbox.refusal(connection, sandbox=settings().is_sandbox):
        yield reason


def shortcomings(connection: Connection) -> list[str]:
    """Return a message for each fault that does not break this connection now, but will cause failures later."""
    found = []
    chosen = {
        row.name: row.setting
        for row in connection.execute(_SETTINGS, {"names": [*LIMITS, "client_encoding"]})
    }
    if missing := sorted(name for name in LIMITS if chosen.get(name) == "0"):
        found.append(
            f"{', '.join(missing)} not in force: a pooler in between drops them; run `weelo migrate` with "
            "DATABASE_API_URL and DATABASE_WORKERS_URL, or give them to the role by ALTER ROLE … SET"
        )
    if (encoding := chosen.get("client_encoding")) != SESSION["client_encoding"]:
        found.append(
            f"client_encoding is {encoding} and must be UTF8: a pooler in between drops ours; "
            "give it to the role by ALTER ROLE … SET client_encoding = 'UTF8'"
        )
    if hidden := connection.scalars(_HIDDEN, {"tables": sorted(Base.metadata.tables)}).all():
        found.append(
            f"row-level security hides rows of {', '.join(hidden)}; ALTER TABLE … DISABLE ROW LEVEL SECURITY"
        )
    return found


def refused_write(connection: Connection) -> str | None:
    """Return why a new table cannot be written, such as a full disk; None if it can, or if only the right is missing.

    The table is temporary, and its creation is undone.
    """
    attempt = connection.begin_nested()
    try:
        connection.execute(text("CREATE TEMPORARY TABLE weelo_room AS SELECT 1 AS row"))
    except OperationalError as error:
        return f"it refuses writes: {str(error.orig).splitlines()[0]}"
    except DBAPIError:
        return None
    finally:
        attempt.rollback()
    return None


def warnings(connection: Connection) -> list[str]:
    """Return a message for each server setting that may lose accepted commands."""
    chosen = {row.name: row.setting for row in connection.execute(_SETTINGS, {"names": list(_DURABLE)})}
    return [
        f"{name} is off: a crash of the server may lose accepted commands"
        for name in _DURABLE
        if chosen.get(name) == "off"
    ]
