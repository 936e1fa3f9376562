"""Databases and poolers that operators have set up: which of them work, and which are refused in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.engine import make_url

from tests.support.pooler import PROGRAMS, RefusingProxy, pgbouncer
from tests.support.programs import weelo_here
from tests.support.servers import FOREIGN, own_database, own_roles, worker_number
from tests.support.wakers import NullWaker
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.bus import Bus
from weelo_workers.models import server
from weelo_workers.models.engine import LIMITS, connect
from weelo_workers.models.migrate import is_at_head, upgrade_to_head
from weelo_workers.settings import settings

load_handlers()

Made = Callable[..., URL]


def administer(statement: str, database: str | None = None) -> None:
    url = make_url(os.environ["WEELO_TEST_POSTGRES"])
    there = connect(
        url.set(database=database or url.database).render_as_string(False),
        isolation="AUTOCOMMIT",
        pool_size=1,
    )
    with there.connect() as connection:
        connection.execute(text(statement))
    there.dispose()


@pytest.fixture
def foreign() -> Iterator[Made]:
    """Make a database with these options, and drop it after the test."""
    names: list[str] = []

    def make(options: str = "", name: str | None = None) -> URL:
        names.append(name or f"foreign_{uuid4().hex[:8]}")
        administer(f'CREATE DATABASE "{names[-1]}" {options}')
        return make_url(os.environ["WEELO_TEST_POSTGRES"]).set(database=names[-1])

    yield make
    for name in names:
        administer(f'DROP DATABASE "{name}" WITH (FORCE)')


def address(url: URL, query: str = "") -> str:
    return url.render_as_string(False) + query


def chosen(connection: Connection, *names: str) -> dict[str, str]:
    return {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in names}


def engine_of(url: str, **options: Any) -> Engine:
    return connect(url, pool_size=2, max_overflow=0, **options)


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.long_except("SQL_ASCII")
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_store_every_language_is_refused(foreign: Made, encoding: str) -> None:
    url = foreign(f"ENCODING '{encoding}' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'")
    refused = weelo_here("migrate", DATABASE_URL=address(url))
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"weelo: DATABASE_URL: the database's encoding is {encoding} and must be UTF8"
    )
    assert refused.stderr.count("\n") == 1
    seen = weelo_here("doctor", DATABASE_URL=address(url))
    assert seen.returncode == 1
    assert f"database: the database's encoding is {encoding} and must be UTF8" in seen.stdout


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        pytest.param(
            "default_transaction_read_only = on",
            "DATABASE_URL: the database is read-only",
            marks=pytest.mark.long,
        ),
        ("search_path = missing", "DATABASE_URL: no schema of the search_path"),
    ],
)
def test_a_database_in_which_no_table_can_be_made_is_refused(
    foreign: Made, setting: str, reason: str
) -> None:
    url = foreign()
    administer(f'ALTER DATABASE "{url.database}" SET {setting}')
    refused = weelo_here("migrate", DATABASE_URL=address(url))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"weelo: {reason}") and refused.stderr.count("\n") == 1
    assert reason.removeprefix("DATABASE_URL: ") in weelo_here("doctor", DATABASE_URL=address(url)).stdout


def test_a_role_that_may_not_make_tables_is_refused_in_one_line(foreign: Made) -> None:
    url, role = foreign(), f"guest_{uuid4().hex[:8]}"
    administer(f"CREATE ROLE {role} LOGIN PASSWORD 'guest'")
    try:
        refused = weelo_here("migrate", DATABASE_URL=address(url.set(username=role, password="guest")))
        assert refused.returncode == 2
        assert refused.stderr.startswith("weelo: DATABASE_URL: permission denied for schema public")
        assert refused.stderr.count("\n") == 1
    finally:
        administer(f"DROP ROLE {role}")


NO_COMMAND = str(UUID(int=0))


@pytest.mark.parametrize(
    "command", [("mailbox", "parked"), ("mailbox", "show", NO_COMMAND), ("mailbox", "retry", NO_COMMAND)]
)
def test_a_database_without_a_schema_is_reported_in_one_line(foreign: Made, command: tuple[str, ...]) -> None:
    refused = weelo_here(*command, DATABASE_URL=address(foreign()))
    assert refused.returncode == 2
    assert refused.stderr == 'weelo: DATABASE_URL: relation "mailbox" does not exist: run `weelo migrate`\n'


def test_tables_of_another_program_are_refused_in_one_line(foreign: Made) -> None:
    url = foreign()
    administer("CREATE TABLE broadcasts (id int)", url.database)
    refused = weelo_here("migrate", DATABASE_URL=address(url))
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        'weelo: DATABASE_URL: relation "broadcasts" already exists: another program'
    )
    assert refused.stderr.count("\n") == 1


@pytest.mark.long_except("mailbox")
@pytest.mark.parametrize("table", ["mailbox", "alembic_version"])
def test_a_table_that_hides_ours_is_named(foreign: Made, table: str) -> None:
    """By default PostgreSQL searches the schema named like the role first, so a table in that schema hides ours."""
    url = foreign()
    assert weelo_here("migrate", DATABASE_URL=address(url)).returncode == 0
    administer(f'CREATE SCHEMA "{url.username}"', url.database)
    assert weelo_here("migrate", DATABASE_URL=address(url)).returncode == 0, "an empty schema hides nothing"
    administer(f'CREATE TABLE "{url.username}".{table} (version_num text)', url.database)
    hides = f"{url.username}.{table} hides the table of the same name in public"
    refused = weelo_here("migrate", DATABASE_URL=address(url))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"weelo: DATABASE_URL: {hides}") and refused.stderr.count("\n") == 1
    seen = weelo_here("doctor", DATABASE_URL=address(url)).stdout
    assert f"database: {hides}" in seen
    assert "weelo migrate" not in seen


def test_a_schema_of_a_newer_version_or_another_program_is_refused_in_one_line(foreign: Made) -> None:
    url = foreign()
    administer(
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('deadbeef')",
        url.database,
    )
    refused = weelo_here("migrate", DATABASE_URL=address(url))
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "weelo: DATABASE_URL: the schema is at revision deadbeef, which this version"
    )
    assert refused.stderr.count("\n") == 1
    seen = weelo_here("doctor", DATABASE_URL=address(url)).stdout
    assert 'could not be checked: relation "mailbox" does not exist' in seen


def test_our_session_settings_override_the_defaults_of_a_database(foreign: Made) -> None:
    url = foreign()
    for setting in ("timezone = 'Asia/Kolkata'", "standard_conforming_strings = off", "lock_timeout = 0"):
        administer(f'ALTER DATABASE "{url.database}" SET {setting}')
    made = engine_of(address(url))
    with made.connect() as connection:
        assert chosen(connection, "timezone", "standard_conforming_strings", "lock_timeout") == {
            "timezone": "UTC",
            "standard_conforming_strings": "on",
            "lock_timeout": "8s",
        }
    made.dispose()


HINDI = "राम की दुकान, दिल्ली"


@pytest.mark.parametrize(
    ("of_the_database", "query"),
    [
        ("client_encoding = LATIN1", ""),
        (None, "?client_encoding=LATIN1"),
        (None, "?options=-cclient_encoding%3DLATIN1"),
    ],
    ids=["database", "url", "options"],
)
@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooler"])
def test_every_language_is_stored_whatever_the_default_encoding_of_clients(
    foreign: Made, of_the_database: str | None, query: str, pooled: bool
) -> None:
    if pooled and "options" in query:
        pytest.skip("PgBouncer refuses the options of a URL")
    url = foreign()
    if of_the_database:
        administer(f'ALTER DATABASE "{url.database}" SET {of_the_database}')
    with RefusingProxy(address(url)) as pooler:
        made = engine_of((pooler.url if pooled else address(url)) + query)
        with made.connect() as connection:
            assert connection.execute(text("SELECT :text || ''"), {"text": HINDI}).scalar_one() == HINDI
            assert not [line for line in server.shortcomings(connection) if "client_encoding" in line]
        made.dispose()


@pytest.mark.long
def test_a_pooler_that_drops_the_encoding_is_named_and_does_not_matter_with_our_roles(
    foreign: Made, roles: dict[str, str]
) -> None:
    url = foreign()
    administer(f'ALTER DATABASE "{url.database}" SET client_encoding = LATIN1')
    dropped = frozenset({"client_encoding", "options"})
    with RefusingProxy(address(url), dropped) as pooler:
        assert weelo_here("migrate", DATABASE_URL=address(url)).returncode == 0
        seen = weelo_here("doctor", DATABASE_URL=pooler.url)
        assert "database: client_encoding is LATIN1 and must be UTF8" in seen.stdout
    shared = make_url(roles["DATABASE_URL"]).database
    administer(f'ALTER DATABASE "{shared}" SET client_encoding = LATIN1')
    with RefusingProxy(roles["DATABASE_WORKERS_URL"], dropped) as pooler:
        made = engine_of(pooler.url)
        with made.connect() as connection:
            assert chosen(connection, "client_encoding") == {"client_encoding": "UTF8"}
        made.dispose()
    administer(f'ALTER DATABASE "{shared}" RESET client_encoding')


@pytest.mark.parametrize("name", ["We-Elo", "two words", "per%cent", "ümläut"])
def test_a_database_may_have_any_name_and_its_roles_any_password(foreign: Made, name: str) -> None:
    url = foreign(name=name)
    password, number = "p@ss/w:rd%#? &=;'\"", uuid4().hex[:8]
    roles = {
        f"database_{who}_url": (
            f"postgresql://{who}_{number}:{quote(password, safe='')}@{url.host}:{url.port}/{quote(name)}"
        )
        for who in ("api", "workers")
    }
    owner = engine_of(f"postgresql://{url.username}:{url.password}@{url.host}:{url.port}/{quote(name)}")
    try:
        upgrade_to_head(owner, settings().model_copy(update=roles))
        for role in roles.values():
            made = engine_of(role)
            with made.connect() as connection:
                assert is_at_head(connection)
            made.dispose()
    finally:
        with owner.begin() as connection:
            for who in ("api", "workers"):
                connection.execute(text(f"DROP OWNED BY {who}_{number}; DROP ROLE {who}_{number}"))
        owner.dispose()


# --- what a URL says ------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_search_path_in_the_url_is_where_the_tables_are(foreign: Made) -> None:
    url = foreign()
    administer("CREATE SCHEMA tenant1", url.database)
    there = address(url, "?options=-csearch_path%3Dtenant1&application_name=x")
    roles = own_roles(address(url.set(database=f"of_{FOREIGN + 10}")))
    of_this = {
        variable: address(make_url(role).set(database=url.database)) for variable, role in roles.items()
    }
    done = weelo_here("migrate", DATABASE_URL=there, **of_this)
    assert done.returncode == 0, done.stderr
    for each in (there, *of_this.values()):
        made = engine_of(each)
        with made.connect() as connection:
            assert connection.execute(
                text("SELECT 'mailbox'::regclass::oid = 'tenant1.mailbox'::regclass")
            ).scalar()
            assert is_at_head(connection)
            assert chosen(connection, *LIMITS) == LIMITS
        made.dispose()
    made = engine_of(there)
    with made.connect() as connection:
        assert chosen(connection, "application_name") == {"application_name": "x"}
    made.dispose()
    administer(
        ";".join(
            f"DROP OWNED BY {make_url(r).username}; DROP ROLE {make_url(r).username}"
            for r in of_this.values()
        ),
        url.database,
    )


def test_what_a_url_says_about_the_connection_takes_precedence() -> None:
    made = engine_of(os.environ["DATABASE_URL"] + "?connect_timeout=9&keepalives_idle=99&sslmode=prefer")
    with made.connect() as connection:
        raw: Any = connection.connection.driver_connection
        parameters = raw.get_dsn_parameters()
    made.dispose()
    assert {name: parameters[name] for name in ("connect_timeout", "keepalives_idle", "sslmode")} == {
        "connect_timeout": "9",
        "keepalives_idle": "99",
        "sslmode": "prefer",
    }
    assert parameters["keepalives_count"] == "3" and parameters["application_name"] == "weelo"


def test_of_several_hosts_the_one_that_writes_is_used() -> None:
    url = make_url(os.environ["DATABASE_URL"])
    several = (
        f"postgresql://{url.username}:{url.password}@127.0.0.1:1,{url.host}:{url.port}/{url.database}"
        "?target_session_attrs=read-write"
    )
    made = engine_of(several)
    with made.connect() as connection:
        assert connection.execute(text("SELECT current_database()")).scalar_one() == url.database
    made.dispose()


# --- poolers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def roles(worker_id: str) -> dict[str, str]:
    """Return the URLs of a migrated database: the owner's, the API's and the workers'."""
    number = FOREIGN + worker_number(worker_id)
    url = own_database(number)
    urls = {"DATABASE_URL": url, **own_roles(url)}
    owner = engine_of(url)
    upgrade_to_head(owner, settings().model_copy(update={name.lower(): role for name, role in urls.items()}))
    owner.dispose()
    return urls


@pytest.mark.parametrize("ignored", [frozenset(), frozenset({"options"})], ids=["refuses", "leaves out"])
@pytest.mark.parametrize("variable", ["DATABASE_API_URL", "DATABASE_WORKERS_URL"])
def test_limits_hold_behind_a_pooler_that_accepts_no_settings(
    roles: dict[str, str], ignored: frozenset[str], variable: str
) -> None:
    with RefusingProxy(roles[variable], ignored) as pooler:
        made = engine_of(pooler.url)
        with made.connect() as one, made.connect() as another:
            for connection in (one, another):
                assert chosen(connection, *LIMITS, "timezone") == {**LIMITS, "timezone": "UTC"}
            assert server.shortcomings(one) == []
        made.dispose()
        assert pooler.refused == (0 if ignored else 1), "a parameter that was refused once is not sent again"


@pytest.mark.parametrize("ignored", [frozenset(), frozenset({"options"})], ids=["refuses", "leaves out"])
def test_an_unusual_lock_timeout_holds_behind_a_pooler(
    roles: dict[str, str], ignored: frozenset[str]
) -> None:
    with RefusingProxy(roles["DATABASE_WORKERS_URL"], ignored) as pooler:
        made = engine_of(pooler.url, lock_timeout="300ms")
        with made.connect() as connection:
            assert chosen(connection, "lock_timeout") == {"lock_timeout": "300ms"}
            connection.rollback()
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("8s",), "it does not stay on the server's connection"
            raw.rollback()
        made.dispose()


@pytest.mark.long_except("refuses")
@pytest.mark.parametrize("ignored", [frozenset(), frozenset({"options"})], ids=["refuses", "leaves out"])
def test_the_doctor_reports_limits_that_are_not_in_force(
    roles: dict[str, str], ignored: frozenset[str]
) -> None:
    """The pooler drops the limits that the doctor requests. The doctor's role, the owner, has no limits by default."""
    with RefusingProxy(roles["DATABASE_URL"], ignored) as pooler:
        seen = weelo_here("doctor", DATABASE_URL=pooler.url)
    assert (
        "database: idle_in_transaction_session_timeout, lock_timeout, statement_timeout not in force"
        in seen.stdout
    )


def test_a_search_path_that_a_pooler_refuses_is_not_dropped(roles: dict[str, str]) -> None:
    with RefusingProxy(roles["DATABASE_URL"]) as pooler:
        refused = weelo_here("migrate", DATABASE_URL=pooler.url + "?options=-csearch_path%3Dtenant1")
    assert refused.returncode == 2
    assert (
        refused.stderr.startswith("weelo: DATABASE_URL: ")
        and "unsupported startup parameter" in refused.stderr
    )
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("ignored", ["", "options,extra_float_digits"])
def test_commands_are_executed_through_pgbouncer(roles: dict[str, str], ignored: str) -> None:
    if shutil.which("pgbouncer", path=PROGRAMS) is None:
        pytest.skip("pgbouncer is not installed")
    with pgbouncer(roles["DATABASE_WORKERS_URL"], ignore_startup_parameters=ignored) as through:
        made, sweep = engine_of(through), engine_of(through, lock_timeout="300ms")
        caller = Caller(uuid4(), Role.TRANSPORTER)
        for engine in (made, sweep):
            with engine.begin() as connection:
                assert chosen(connection, *LIMITS)["statement_timeout"] == LIMITS["statement_timeout"]
                command = SetAvailability(transporter_id=caller.id, is_available=True)
                posted = mailbox.post(connection, command, caller, uuid4(), "")
            Bus(engine, NullWaker()).execute(posted.outcome.command_id)
            with engine.connect() as connection:
                outcome = mailbox.find_outcome(connection, posted.outcome.command_id, caller.id)
            assert outcome is not None and outcome.status == "succeeded"
        made.dispose()
        sweep.dispose()
