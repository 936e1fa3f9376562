"""Connections to PostgreSQL, with a limit on every wait, and what their errors mean."""

from __future__ import annotations

from functools import lru_cache

from psycopg2 import errors as pg
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError as PoolExhausted

from weelo_workers.settings import settings

# A handler that waits longer than this has met a fault, not a queue: give up, let the bell or the sweep retry.
_WAITS = {
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "20s",
    "timezone": "UTC",
}


def connect(
    url: str,
    *,
    pool_size: int = 5,
    max_overflow: int = 10,
    isolation: str = "READ COMMITTED",
    lock_timeout: str = "8s",
) -> Engine:
    """An engine for `postgresql://…`. SQLAlchemy 2.1 reads the bare scheme as psycopg 3; the driver here is psycopg2."""
    return create_engine(
        make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+psycopg2"),
        isolation_level=isolation,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # an error's text goes to the log; names, phones and tokens do not
        connect_args={
            "connect_timeout": 5,
            "application_name": "weelo",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,  # a partition in the middle of a query has no keepalives
            "options": " ".join(
                f"-c {name}={value}" for name, value in {**_WAITS, "lock_timeout": lock_timeout}.items()
            ),
        },
    )


@lru_cache(maxsize=1)
def engine() -> Engine:
    """This process's connections for writing."""
    return connect(settings().database_url)


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
    """The database is away or over-busy: nobody's fault who asked, and worth asking again later."""
    return isinstance(error, OperationalError | PoolExhausted) or (
        isinstance(error, DBAPIError)
        and (error.connection_invalidated or isinstance(error.orig, pg.QueryCanceled | pg.LockNotAvailable))
    )


def forget_connections() -> None:
    """After a fork: the parent's sockets are not ours. They are dropped without being closed."""
    for cached in (engine, read_engine):
        if cached.cache_info().currsize:
            cached().dispose(close=False)
            cached.cache_clear()
