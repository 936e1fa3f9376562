"""The rights of each database role, on real connections: the API inserts commands and reads; workers alter no table."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from psycopg2 import errors as pg
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.security.database import Database
from tests.support.wakers import NullWaker
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import SetAvailability, SyncPresence
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.retention import purge_expired
from weelo_workers.messaging.sweep import sweep
from weelo_workers.models import Base
from weelo_workers.models.engine import connect
from weelo_workers.settings import ConfigurationError

load_handlers()

TABLES = sorted(Base.metadata.tables)
HANDED_IN = {"mailbox", "replays", "console_sign_outs"}
DEFINITIONS = {
    "a table": "CREATE TABLE mine (id int)",
    "a temporary table": "CREATE TEMPORARY TABLE mine (id int)",
    "a schema": "CREATE SCHEMA mine",
    "a view": "CREATE VIEW mine AS SELECT 1",
    "a sequence": "CREATE SEQUENCE mine",
    "a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a type": "CREATE TYPE mine AS ENUM ('a')",
    "a role": "CREATE ROLE somebody",
    "a database": "CREATE DATABASE another",
    "a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "a file": "SELECT pg_read_file('/etc/passwd')",
}
CHANGES = {
    "drop": "DROP TABLE {table}",
    "alter": "ALTER TABLE {table} ADD COLUMN more int",
    "truncate": "TRUNCATE {table} CASCADE",
    "index": "CREATE INDEX ON {table} (({table}.*::text))",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
}


def try_as(engine: Engine, statement: str, **parameters: Any) -> None:
    """Execute the statement, and roll it back."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not statement.startswith("CREATE DATABASE"):
            connection.execute(text("BEGIN"))
        try:
            connection.execute(text(statement), parameters)
        finally:
            if not statement.startswith("CREATE DATABASE"):
                connection.execute(text("ROLLBACK"))


def refused(engine: Engine, statement: str) -> bool:
    with pytest.raises(DBAPIError) as error:
        try_as(engine, statement)
    return isinstance(error.value.orig, pg.InsufficientPrivilege)


def column(table: str) -> str:
    return next(each.name for each in Base.metadata.tables[table].columns if each.identity is None)


def row_statements(table: str) -> dict[str, str]:
    name = column(table)
    return {
        "insert": f"INSERT INTO {table} DEFAULT VALUES",
        "update": f"UPDATE {table} SET {name} = {name}",
        "delete": f"DELETE FROM {table}",
        "lock": f"SELECT 1 FROM {table} FOR UPDATE",
    }


# --- the API --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_the_api_reads_every_table_and_hands_in_commands_only(database: Database, table: str) -> None:
    try_as(database.api, f"SELECT * FROM {table} LIMIT 1")
    statements = row_statements(table)
    if table in HANDED_IN:
        # The API may insert here: the statement only fails because its row has no values and violates a constraint.
        with pytest.raises(IntegrityError):
            try_as(database.api, statements.pop("insert"))
    assert [what for what, statement in statements.items() if not refused(database.api, statement)] == []


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("who", ["api", "workers"])
def test_neither_api_nor_workers_change_a_table(database: Database, who: str, table: str) -> None:
    engine = getattr(database, who)
    assert [what for what, change in CHANGES.items() if not refused(engine, change.format(table=table))] == []


@pytest.mark.parametrize("what", DEFINITIONS)
@pytest.mark.parametrize("who", ["api", "workers"])
def test_neither_api_nor_workers_make_anything(database: Database, who: str, what: str) -> None:
    assert refused(getattr(database, who), DEFINITIONS[what])


@pytest.mark.parametrize("who", ["api", "workers"])
@pytest.mark.parametrize(
    "statement", ["UPDATE alembic_version SET version_num = 'x'", "SELECT rolpassword FROM pg_authid"]
)
def test_neither_pretends_another_schema_nor_reads_passwords(
    database: Database, who: str, statement: str
) -> None:
    assert refused(getattr(database, who), statement)


def test_neither_becomes_somebody_else(database: Database) -> None:
    owner = make_url(database.urls["DATABASE_URL"]).username
    for engine in (database.api, database.workers):
        assert refused(engine, f'SET ROLE "{owner}"')
    api = make_url(database.urls["DATABASE_API_URL"]).username
    assert refused(database.workers, f'SET ROLE "{api}"')


# --- a command passes through all roles -----------------------------------------------------------------


def test_a_command_handed_in_by_the_api_is_executed_by_workers_and_forgotten_by_beat(
    database: Database,
) -> None:
    caller = Caller(uuid4(), Role.TRANSPORTER, "A fleet")
    command = SetAvailability(transporter_id=caller.id, is_available=True)
    command_id = uuid4()
    for fresh in (True, False):
        with database.api.begin() as connection:
            assert mailbox.post(connection, command, caller, command_id, "a request").fresh is fresh
            mailbox.send(connection, SyncPresence(transporter_id=caller.id))
    Bus(database.workers, NullWaker()).execute(command_id)
    with database.api.connect() as connection:
        outcome = mailbox.find_outcome(connection, command_id, caller.id)
    assert outcome is not None and (outcome.status, outcome.replayed) == ("succeeded", True)
    with database.owner.begin() as connection:
        connection.execute(text("UPDATE mailbox SET wake_at = wake_at - interval '1 hour'"))
    assert sweep(Bus(database.workers, NullWaker()), seconds=10) > 0
    with database.owner.begin() as connection:
        connection.execute(text("UPDATE mailbox SET settled_at = settled_at - interval '2 days'"))
    assert purge_expired(database.workers, 1) > 0


# --- how roles get their rights -------------------------------------------------------------------------


def test_a_table_of_a_later_migration_is_granted_and_old_rights_go(database: Database) -> None:
    api = make_url(database.urls["DATABASE_API_URL"]).username
    with database.owner.begin() as connection:
        connection.execute(text(f'GRANT DELETE ON mailbox TO "{api}"'))
        connection.execute(text(f'REVOKE ALL ON vehicles FROM "{api}"'))
    assert refused(database.api, "SELECT 1 FROM vehicles")
    database.migrate()
    try_as(database.api, "SELECT 1 FROM vehicles")
    assert refused(database.api, "DELETE FROM mailbox")


def test_a_new_password_replaces_the_old_one(database: Database) -> None:
    old = make_url(database.urls["DATABASE_API_URL"])
    new = old.set(password="another one")
    changed = Database({**database.urls, "DATABASE_API_URL": new.render_as_string(False)}, *engines(database))
    changed.migrate()
    try:
        assert answers(new.render_as_string(False))
        assert not answers(old.render_as_string(False))
    finally:
        database.migrate()


def test_a_password_is_never_part_of_a_statement(database: Database) -> None:
    with database.owner.begin() as connection:
        stored = connection.execute(
            text("SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'weelo_test%'")
        )
        assert all(row.rolpassword.startswith("SCRAM-SHA-256$") for row in stored)


@pytest.mark.parametrize("variable", ["DATABASE_API_URL", "DATABASE_WORKERS_URL"])
def test_the_owner_is_no_role_for_the_others(database: Database, variable: str) -> None:
    wrong = Database({**database.urls, variable: database.urls["DATABASE_URL"]}, *engines(database))
    with pytest.raises(ConfigurationError, match=f"^{variable}: "):
        wrong.migrate()


def test_api_and_workers_are_not_the_same(database: Database) -> None:
    one = database.urls["DATABASE_API_URL"]
    with pytest.raises(ConfigurationError, match=r"^DATABASE_API_URL: "):
        Database({**database.urls, "DATABASE_WORKERS_URL": one}, *engines(database)).migrate()


def test_an_owner_who_may_not_make_roles_says_so_in_one_line(database: Database) -> None:
    """The line names the missing right. If an administrator then creates the roles, `weelo migrate` grants their rights."""
    name = f"weelo_test_owner_{uuid4().hex[:8]}"
    with database.owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x'"))
        connection.execute(text(f"GRANT {make_url(database.urls['DATABASE_URL']).username} TO {name}"))
    owner = connect(
        make_url(database.urls["DATABASE_URL"]).set(username=name, password="x").render_as_string(False)
    )
    unknown = make_url(database.urls["DATABASE_API_URL"]).set(username="nobody knows").render_as_string(False)
    try:
        Database(database.urls, owner, database.api, database.workers).migrate()
        with pytest.raises(ConfigurationError, match="there is no role nobody knows"):
            Database({**database.urls, "DATABASE_API_URL": unknown}, owner, *engines(database)[1:]).migrate()
    finally:
        owner.dispose()
        with database.owner.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {name}; DROP ROLE {name}"))


def engines(database: Database) -> tuple[Engine, Engine, Engine]:
    return database.owner, database.api, database.workers


def answers(url: str) -> bool:
    engine = connect(url)
    try:
        try_as(engine, "SELECT 1")
    except DBAPIError:
        return False
    finally:
        engine.dispose()
    return True
