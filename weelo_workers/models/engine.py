"""Connections to PostgreSQL, with a limit on every wait, and what their errors mean."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import psycopg2
from psycopg2 import errors as pg
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import (
    DBAPIError,
    InvalidatePoolError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError as PoolExhausted,
)
from sqlalchemy.pool import ConnectionPoolEntry

from weelo_workers import database_url
from weelo_workers.settings import settings

PING_AFTER_SECONDS = 1.0

DATABASE_ERRORS = (SQLAlchemyError, psycopg2.Error)
"""Whatever a statement may raise. The driver's own errors come bare when a connection that autocommits is given back:
its isolation level is reset then, outside of all that SQLAlchemy wraps."""

# A server that has become a standby goes on answering, but only who reads.
_STANDBY = "25006"
# SQLSTATEs: connections; disk, memory and connections running out; statements cancelled and servers ending; the disk or
# the machine; a lock not had in time. Not all that the driver calls operational: 54 (too complex) stays so for ever.
_OUTAGES = ("08", "53", "57", "58", "55P03", _STANDBY)

# A handler that waits longer than this has met a fault, not a queue: give up, let the bell or the sweep retry.
LIMITS = {
    "statement_timeout": "10s",
    "lock_timeout": "8s",
    "idle_in_transaction_session_timeout": "20s",
}
# Our statements rely on these, so they override the defaults of the server, the database and the role.
SESSION = {"timezone": "UTC", "standard_conforming_strings": "on"}

# The URL takes precedence over these.
_CONNECTION = {
    "connect_timeout": "5",
    "application_name": "weelo",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",  # a partition in the middle of a query has no keepalives
}

# PgBouncer's error for `options`: its clients share server connections, which cannot keep one client's settings.
_REFUSED_BY_POOLER = "unsupported startup parameter"


def connect(
    url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 5,
    isolation: str = "READ COMMITTED",
    lock_timeout: str | None = None,
) -> Engine:
    """Return an engine for `postgresql://…`. What the URL says about the connection takes precedence.

    Raises ValueError for a URL that libpq cannot read. `lock_timeout`: instead of the usual one.
    """
    given = database_url.read(url)
    limits = {**LIMITS, **({"lock_timeout": lock_timeout} if lock_timeout else {})}
    ours = " ".join(f"-c {name}={value}" for name, value in {**limits, **SESSION}.items())
    named = {name: given.get(name) for name in ("user", "password", "host", "port", "dbname")}
    one_host = "," not in (named["host"] or "") + (named["port"] or "")
    made = create_engine(
        # Only for the engine's repr: libpq gets everything from connect_args.
        URL.create(
            "postgresql+psycopg2",
            username=named["user"],
            password=named["password"],
            host=named["host"] if one_host else None,
            port=int(named["port"]) if one_host and named["port"] else None,
            database=named["dbname"],
        ),
        isolation_level=isolation,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=5,
        hide_parameters=True,  # an error's text goes to the log; names, phones and tokens do not
        connect_args={**_CONNECTION, **given, "options": f"{ours} {given.get('options', '')}".strip()},
    )
    pooler = _Pooler(given.get("options"), limits)
    event.listen(made, "do_connect", pooler.connect)
    event.listen(made, "begin", pooler.limit_locks)
    event.listen(made, "handle_error", _strip_row_detail)
    event.listen(made, "handle_error", _leave_a_standby)
    event.listen(made, "checkin", _note_the_time)
    event.listen(made, "checkout", _ping_if_it_idled)
    return made


class _Pooler:
    """Connects through poolers that refuse settings at the start of a connection (PgBouncer).

    The limits then come from the role, where `weelo migrate` writes them: a SET would stay on a server connection that
    the pooler gives to other clients. Only a lock_timeout that differs from the usual one is set, per transaction.
    """

    def __init__(self, options: str | None, limits: Mapping[str, str]) -> None:
        """`options`: those of the URL, which are always sent. `limits`: the time limits of this engine."""
        self._options = {"options": options} if options else {}
        self._own = limits["lock_timeout"]
        differs = self._own != LIMITS["lock_timeout"]
        self._set_lock_timeout = f"SET LOCAL lock_timeout = '{self._own}'" if differs else None
        self._refuses = False

    def connect(
        self, dialect: Any, _: ConnectionPoolEntry, arguments: list[Any], parameters: dict[str, Any]
    ) -> Any:
        if not self._refuses:
            try:
                made = dialect.connect(*arguments, **parameters)
            except psycopg2.OperationalError as refusal:
                if _REFUSED_BY_POOLER not in str(refusal):
                    raise
            else:
                self._refuses = self._leaves_out(made)
                return made
        without = {name: value for name, value in parameters.items() if name != "options"}
        made = dialect.connect(*arguments, **without, **self._options)
        self._refuses = True
        return made

    def _leaves_out(self, made: Any) -> bool:
        """Return whether the pooler dropped our settings without an error. Checked only for an unusual lock_timeout."""
        if self._set_lock_timeout is None:
            return False
        with made.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout')")
            (there,) = cursor.fetchone()
        made.rollback()
        return bool(there != self._own)

    def limit_locks(self, connection: Connection) -> None:
        if self._refuses and self._set_lock_timeout:
            raw: Any = connection.connection.driver_connection
            if not raw.autocommit:
                connection.exec_driver_sql(self._set_lock_timeout)


def _strip_row_detail(context: ExceptionContext) -> None:
    """The DETAIL of a violated constraint quotes the row: names and phones, which belong into no log."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args and isinstance(error.args[0], str):
            error.args = (error.args[0].partition("\nDETAIL:")[0], *error.args[1:])


def _leave_a_standby(context: ExceptionContext) -> None:
    """After a failover the pool's connections may lead to the old server. New ones find the one that writes."""
    if getattr(context.original_exception, "pgcode", None) == _STANDBY:
        context.is_disconnect = True


def _note_the_time(_: Any, record: ConnectionPoolEntry) -> None:
    record.info["idle since"] = time.monotonic()


def _ping_if_it_idled(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """SQLAlchemy's own ping costs every transaction a round trip; one used a moment ago is taken as alive."""
    since = record.info.get("idle since")
    if since is None or time.monotonic() - since < PING_AFTER_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except psycopg2.Error as gone:
        raise InvalidatePoolError from gone  # the others are from before the same end


@lru_cache(maxsize=1)
def engine() -> Engine:
    """This process's connections for writing."""
    return connect(settings().database_url)


@lru_cache(maxsize=1)
def autocommit_engine() -> Engine:
    """The same connections for single statements: each commits by itself, and saves BEGIN and COMMIT a trip."""
    return engine().execution_options(isolation_level="AUTOCOMMIT")


@lru_cache(maxsize=1)
def read_engine() -> Engine:
    """This process's connections for reading: a replica's where one is configured."""
    url = settings().database_read_url
    return connect(url) if url else engine()


def is_contention(error: BaseException) -> bool:
    """A race that PostgreSQL broke up: trying again at once is the right answer (40001, 40P01)."""
    return isinstance(error, DBAPIError) and isinstance(
        error.orig, pg.SerializationFailure | pg.DeadlockDetected
    )


def is_outage(error: BaseException) -> bool:
    """The database is away, over-busy, or short of something: nobody's fault who asked, and worth asking again later."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolExhausted | psycopg2.Error)
    state = _sqlstate(error)
    away = isinstance(error, OperationalError) if state is None else state.startswith(_OUTAGES)
    return away or error.connection_invalidated


def is_disconnect(error: BaseException) -> bool:
    """The connection broke while it was used: whether the last statement was executed, nobody knows."""
    return isinstance(error, psycopg2.Error) or (
        isinstance(error, DBAPIError) and error.connection_invalidated and _sqlstate(error) != _STANDBY
    )


def _sqlstate(error: DBAPIError) -> str | None:
    """What PostgreSQL calls it; None if it was the driver that noticed, as when nobody answers."""
    state: str | None = getattr(error.orig, "pgcode", None)
    return state


def drop_inherited_connections() -> None:
    """After a fork: the parent's sockets are not ours. They are dropped without being closed."""
    for cached in (autocommit_engine, read_engine, engine):
        if cached.cache_info().currsize:
            cached().dispose(close=False)
            cached.cache_clear()
