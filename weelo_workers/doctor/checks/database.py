"""Checks of PostgreSQL: the primary, the roles of API and workers, and the replica."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from weelo_workers import clock
from weelo_workers.doctor.check import Examination, Severity, check
from weelo_workers.doctor.errors import of_database
from weelo_workers.models import replica, server
from weelo_workers.models.engine import connect
from weelo_workers.models.migrate import is_at_head
from weelo_workers.settings import settings


@check(
    "database",
    remedy="make PostgreSQL reachable; the API answers 503 until then, and nothing that was accepted is lost",
)
def database(examination: Examination) -> Iterator[str]:
    """Find a primary that does not answer or cannot be used."""
    try:
        with examination.database() as connection:
            yield from (f"database: {line}" for line in server.refusals(connection))
    except DBAPIError as error:
        yield f"database: {of_database(error)}"


@check("schema", needs=("database",), remedy="run `weelo migrate`")
def schema(examination: Examination) -> Iterator[str]:
    """Find a schema that is older than the code."""
    with examination.database() as connection:
        if not is_at_head(connection):
            yield "schema: not at head: run `weelo migrate`"


@check(
    "database-refuses-writes",
    needs=("database", "schema"),
    remedy="free space on PostgreSQL's disk, or make it bigger; commands wait until then",
)
def database_refuses_writes(examination: Examination) -> Iterator[str]:
    """Find a primary that cannot write, for example because its disk is full."""
    with examination.database() as connection:
        if refusal := server.refused_write(connection):
            yield f"database: {refusal}"


@check(
    "database-settings",
    needs=("database", "schema"),
    remedy="run `weelo migrate` with the URLs of all roles, or set what the line names on the server",
)
def database_settings(examination: Examination) -> Iterator[str]:
    """Find settings that break nothing now and will cause failures later."""
    with examination.database() as connection:
        # The examination has changed statement_timeout. It is reset, because the check has to see the usual value.
        connection.execute(text("RESET statement_timeout"))
        yield from (f"database: {line}" for line in server.shortcomings(connection))


@check(
    "database-durability",
    severity=Severity.WARNING,
    needs=("database",),
    remedy="switch the setting on in postgresql.conf and reload the server",
)
def database_durability(examination: Examination) -> Iterator[str]:
    """Find settings with which a crash of the server may lose accepted commands."""
    with examination.database() as connection:
        yield from (f"database: {line}" for line in server.warnings(connection))


@check(
    "clock-skew",
    severity=Severity.WARNING,
    needs=("database",),
    remedy="let NTP set the clocks of this machine and of PostgreSQL's",
)
def clock_skew(examination: Examination) -> Iterator[str]:
    """Find a difference between this machine's clock and PostgreSQL's clock, which decides when timers are due."""
    with examination.database() as connection:
        skew = clock.clock_skew(connection)
    if abs(skew) > clock.MAX_SKEW_SECONDS:
        ahead = "ahead of" if skew > 0 else "behind"
        yield f"clock: this machine's is {abs(skew):.1f} s {ahead} PostgreSQL's"


@check(
    "database-roles",
    remedy="correct the role or its URL, and run `weelo migrate` with the URLs of all roles",
)
def database_roles(_examination: Examination) -> Iterator[str]:
    """Find roles of the API and of the workers that cannot connect, or lack settings."""
    for variable in ("DATABASE_API_URL", "DATABASE_WORKERS_URL"):
        yield from _further(variable, _role)


@check(
    "replica",
    remedy="repair the replication, or unset the variable: the API then reads from the primary",
)
def read_replica(examination: Examination) -> Iterator[str]:
    """Find a DATABASE_READ_URL whose server is no replica of the primary, or does not replicate it at present."""
    yield from _further("DATABASE_READ_URL", lambda connection: _replica(connection, examination))


def _further(variable: str, look_at: Callable[[Connection], Iterator[str]]) -> Iterator[str]:
    url = getattr(settings(), variable.lower())
    if not url:
        return
    made = connect(url, pool_size=1, sandbox=settings().is_sandbox)
    try:
        with made.connect() as connection:
            yield from (f"{variable}: {line}" for line in look_at(connection))
    except DBAPIError as error:
        yield f"{variable}: {of_database(error)}"
    finally:
        made.dispose()


def _role(connection: Connection) -> Iterator[str]:
    if refusals := server.refusals(connection):
        yield from refusals
    elif not is_at_head(connection):
        yield "the schema is not at head: run `weelo migrate`"
    else:
        yield from server.shortcomings(connection)


def _replica(connection: Connection, examination: Examination) -> Iterator[str]:
    if refusals := server.refusals(connection, writable=False):
        yield from refusals
        return
    with (
        suppress(DBAPIError),
        examination.database() as primary,
    ):  # an unusable primary is a finding of the check `database`, not of this one
        faults = list(replica.faults(connection, primary))
        yield from faults
        if faults or not is_at_head(primary):
            return
    if not is_at_head(connection):
        yield "the schema is not at head, although the one of DATABASE_URL is"
    else:
        yield from server.shortcomings(connection)
