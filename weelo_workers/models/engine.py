"""Engines for PostgreSQL with time limits on every wait, and the classification of their errors."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import psycopg2
from psycopg2 import errors as pg
from pydantic_core import from_json, to_json
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
from weelo_workers.logs.outages import Outage
from weelo_workers.models import prepared, unanswered
from weelo_workers.settings import settings

PING_AFTER_SECONDS = 1.0

DATABASE_ERRORS = (SQLAlchemyError, psycopg2.Error)
"""All errors that a statement may raise. SQLAlchemy does not wrap psycopg2's errors when a connection returns to the pool."""

# A server that has become a standby still answers, but refuses writes with this SQLSTATE.
_STANDBY = "25006"
# SQLSTATEs of temporary problems. 08: connection; 53: disk, memory or connections exhausted; 57: statement cancelled or
# server ending; 58: system error; 55P03: lock time-out. OperationalError alone would include permanent ones (class 54).
_OUTAGES = ("08", "53", "57", "58", "55P03", _STANDBY)

# Commands that queue for a lock wait less than this, so a longer wait means a fault. The command fails, and a wake-up
# or the sweep retries it.
LIMITS = {
    "statement_timeout": "10s",
    "lock_timeout": "8s",
    "idle_in_transaction_session_timeout": "20s",
}
# Our statements rely on these settings, so they override the defaults of the server, the database and the role.
SESSION = {
    "timezone": "UTC",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    # Statements in autocommit mode have this isolation level. With a stricter level they would fail with serialization
    # errors, and would have to be retried.
    "default_transaction_isolation": "read committed",
}

# In a sandbox, functions of the schema `sandbox` hide those of pg_catalog that return the time (models/sandbox.py).
# `public` comes first, because PostgreSQL creates new tables in the first schema.
SANDBOX_SEARCH_PATH = "public,sandbox,pg_catalog"

# The URL cannot change the encoding, because most other encodings lack the characters of most languages' names and
# addresses. The encoding is a parameter of its own in the startup packet, so it takes precedence over `options`, and
# poolers accept it.
_ENCODING = {"client_encoding": SESSION["client_encoding"]}
# Parameters of the URL take precedence over these parameters.
_CONNECTION = {
    "connect_timeout": "5",
    "application_name": "weelo",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    # While sent data is unacknowledged, TCP sends no keepalives, and only this time-out detects a lost connection.
    # A server that is merely stopped is noticed by models/unanswered.py.
    "tcp_user_timeout": "15000",
}

# An error of libpq has one line for each address that it tried: "connection to server at … failed: FATAL: …".
_ATTEMPT = " failed: "
_CONNECT_TIMED_OUT = "timeout expired"
_QUOTED = re.compile(r'"[^"]*"')
_QUOTING_LINES = re.compile("\n(?:LINE \\d+|DETAIL|CONTEXT):")
# Everything after the first quotation mark is removed, because the quoted value may itself have quotation marks and
# line breaks.
_FIRST_QUOTATION = re.compile('".*', re.DOTALL)
_DATA_EXCEPTION = "22"

# PgBouncer's error for `options`. Its clients share server connections, so it cannot apply the settings of one client.
_REFUSED_BY_POOLER = "unsupported startup parameter"


def connect(
    url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 5,
    isolation: str = "READ COMMITTED",
    lock_timeout: str | None = None,
    sandbox: bool = False,
) -> Engine:
    """Return an engine for `postgresql://…`.

    Connection parameters of the URL take precedence over ours, except that the encoding is always UTF8.

    `lock_timeout`: replaces the usual one. `sandbox`: whether statements read the clock of a sandbox. Raises ValueError for a
    URL that libpq cannot parse.
    """
    given = database_url.read(url)
    limits = {**LIMITS, **({"lock_timeout": lock_timeout} if lock_timeout else {})}
    session = {**SESSION, "search_path": SANDBOX_SEARCH_PATH} if sandbox else SESSION
    options = {**limits, **session, **prepared.PARAMETERS}.items()
    own_options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in options)
    named = {name: given.get(name) for name in ("user", "password", "host", "port", "dbname")}
    one_host = "," not in (named["host"] or "") + (named["port"] or "")
    made = create_engine(
        # This URL is only shown in the engine's repr. libpq gets all parameters from connect_args.
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
        # These functions are several times as fast as those of the standard library.
        json_serializer=lambda value: to_json(value).decode(),
        json_deserializer=from_json,
        hide_parameters=True,  # Errors are logged, and parameters contain personal data.
        connect_args={
            **_CONNECTION,
            **given,
            **_ENCODING,
            "connection_factory": unanswered.WatchedConnection,
            "options": f"{own_options} {given.get('options', '')}".strip(),
        },
    )
    pooler = _Pooler(given.get("options"), limits)
    event.listen(made, "do_connect", pooler.connect)
    event.listen(made, "begin", pooler.limit_locks)
    event.listen(made, "handle_error", _strip_values)
    event.listen(made, "handle_error", _disconnect_from_standby)
    # If the URL sets statement_timeout, this process does not know its value, so it sets no limit of its own to its
    # wait for an answer.
    limit = math.inf if "statement_timeout" in given.get("options", "") else unanswered.LIMIT_SECONDS
    outages = _Outages(_server_at(named["host"], named["port"]), limit)
    event.listen(made, "handle_error", outages.on_error)
    event.listen(made, "connect", outages.on_connect)
    event.listen(made, "checkin", _note_the_time)
    event.listen(made, "checkout", _ping_if_it_idled)
    prepared.PreparedStatements(made)
    return made


class _Pooler:
    """Connects to servers, and to poolers that refuse settings in the startup packet (PgBouncer).

    Through such a pooler the limits are the role's defaults, which `weelo migrate` sets. They are not set by SET, which
    would remain on a server connection that the pooler gives to other clients. Only a lock_timeout that differs from
    the usual one is set, for each transaction.
    """

    def __init__(self, options: str | None, limits: Mapping[str, str]) -> None:
        """Set the options to send. `options`: those of the URL, always sent. `limits`: the time limits of this engine."""
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
                self._refuses = self._drops_settings(made)
                return made
        without = {name: value for name, value in parameters.items() if name != "options"}
        made = dialect.connect(*arguments, **without, **self._options)
        self._refuses = True
        return made

    def _drops_settings(self, made: Any) -> bool:
        """Return whether a pooler dropped our settings without an error.

        This is checked only for an engine with an unusual lock_timeout.
        """
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


def _strip_values(context: ExceptionContext) -> None:
    """Remove quoted values, such as names, from the text of an error, because the text is logged.

    DETAIL quotes a row, LINE quotes the statement with its values, and the message of a data exception quotes a value.
    """
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args and isinstance(error.args[0], str):
            text = _QUOTING_LINES.split(error.args[0])[0]
            if (getattr(context.original_exception, "pgcode", None) or "").startswith(_DATA_EXCEPTION):
                text = _FIRST_QUOTATION.sub("…", text)
            error.args = (text, *error.args[1:])


def _disconnect_from_standby(context: ExceptionContext) -> None:
    """Treat a write refused by a standby as a disconnect: after a failover, new connections reach the primary."""
    if getattr(context.original_exception, "pgcode", None) == _STANDBY:
        context.is_disconnect = True


@lru_cache(maxsize=16)
def _server_at(host: str | None, port: str | None) -> unanswered.Server:
    """Return the state of a server. All engines of this process that connect to this server share one object."""
    return unanswered.Server(Outage(f"PostgreSQL at {host or 'the default host'}:{port or 5432}"))


class _Outages:
    """Logs once per outage that the server of an engine cannot be reached, and once that it answers again."""

    def __init__(self, server: unanswered.Server, limit_seconds: float) -> None:
        self._server, self._limit_seconds = server, limit_seconds

    def on_error(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if getattr(error, "pgcode", None) == _STANDBY:
            # Not counted as an outage, because the next connection, even to the same standby, would count as its end.
            return
        no_connection = context.connection is None and isinstance(error, psycopg2.OperationalError)
        if no_connection and _CONNECT_TIMED_OUT in str(error):
            # The server does not answer. This outage ends with a new connection, or with the next answer on an existing
            # connection.
            self._server.silent(_reason(error))
        elif context.is_disconnect or no_connection:
            self._server.outage.failed(_reason(error))

    def on_connect(self, raw: Any, _: ConnectionPoolEntry) -> None:
        self._server.answered()
        unanswered.watch(raw, self._server, self._limit_seconds)


def _note_the_time(raw: Any, record: ConnectionPoolEntry) -> None:
    record.info["idle since"] = time.monotonic()
    if raw is not None:  # `raw` is None if the connection was lost
        raw.limit_seconds = raw.usual_limit_seconds


def limit_statements(connection: Connection, seconds: float) -> None:
    """Set another time limit for the statements of this transaction, both in the server and in this process."""
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{int(seconds * 1_000)}ms'")
    raw: Any = connection.connection.driver_connection
    raw.limit_seconds = seconds + unanswered.LONGER_SECONDS


def _ping_if_it_idled(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """Ping a connection that was idle for a while. SQLAlchemy's own pre-ping would cost a round trip per transaction."""
    since = record.info.get("idle since")
    if since is None or time.monotonic() - since < PING_AFTER_SECONDS:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.rollback()
    except psycopg2.Error as gone:
        # If one pooled connection is broken, the others probably are too. This error makes SQLAlchemy replace all.
        raise InvalidatePoolError from gone


@lru_cache(maxsize=1)
def engine() -> Engine:
    """Return this process's engine for the primary."""
    return connect(settings().database_url, sandbox=settings().is_sandbox)


@lru_cache(maxsize=1)
def autocommit_engine() -> Engine:
    """Return this process's engine in autocommit mode, which saves single statements the round trips of BEGIN and COMMIT.

    It has connections of its own, because changing the mode of a connection costs a round trip each time.
    """
    return connect(settings().database_url, isolation="AUTOCOMMIT", sandbox=settings().is_sandbox)


@lru_cache(maxsize=1)
def read_engine() -> Engine:
    """Return this process's engine for reading, in autocommit mode: the replica if DATABASE_READ_URL is set, else the primary."""
    url = settings().database_read_url
    return connect(url, isolation="AUTOCOMMIT", sandbox=settings().is_sandbox) if url else autocommit_engine()


def is_contention(error: BaseException) -> bool:
    """Return whether this is a serialization failure or a deadlock (40001, 40P01), to be retried at once."""
    return isinstance(error, DBAPIError) and isinstance(
        error.orig, pg.SerializationFailure | pg.DeadlockDetected
    )


def is_outage(error: BaseException) -> bool:
    """Return whether the database is unreachable, overloaded or out of a resource, so that a later retry may succeed."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolExhausted | psycopg2.Error)
    state = _sqlstate(error)
    unreachable = isinstance(error, OperationalError) if state is None else state.startswith(_OUTAGES)
    return unreachable or error.connection_invalidated


def is_disconnect(error: BaseException) -> bool:
    """Return whether the connection broke during use: the last statement may or may not have been executed."""
    return isinstance(error, psycopg2.Error) or (
        isinstance(error, DBAPIError) and error.connection_invalidated and _sqlstate(error) != _STANDBY
    )


def _sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's error code; None if psycopg2 raised the error itself, for example without a connection."""
    state: str | None = getattr(error.orig, "pgcode", None)
    return state


def why_unavailable(error: DBAPIError) -> str:
    """Return PostgreSQL's reason for an error, without the names of hosts, roles, databases and files that it quotes."""
    return _reason(error.orig)


def _reason(error: BaseException | None) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = next((each for each in reversed(lines) if _ATTEMPT in each), lines[0]).rpartition(_ATTEMPT)[2]
    return _QUOTED.sub("…", line.strip().removeprefix("FATAL:").strip())


def drop_inherited_connections() -> None:
    """Drop the engines after a fork, without closing their connections, which the parent process still uses."""
    for cached in (autocommit_engine, read_engine, engine):
        if cached.cache_info().currsize:
            cached().dispose(close=False)
            cached.cache_clear()
    # A thread of the parent may hold the lock of a cached object. In this child the lock would never be released.
    _server_at.cache_clear()
