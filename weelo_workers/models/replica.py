"""Checks whether DATABASE_READ_URL is a replica of the primary and follows it, for `weelo doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import NotSupportedError, ProgrammingError

LAG_SECONDS = 5.0
POLL_SECONDS = 0.1

_REMEDY = "use a standby of the primary, or unset it"


def faults(replica: Connection, primary: Connection) -> Iterator[str]:
    """Yield a message if the API would read wrong rows from the replica: rows of another database, or outdated ones."""
    here, there = (_ask(each, "SELECT current_database()") for each in (replica, primary))
    if here != there:
        yield f"is no replica of DATABASE_URL: its database is {here}, not {there}; {_REMEDY}"
    elif _is_another_server(replica, primary):
        yield f"is no replica of DATABASE_URL: it is a server of its own; {_REMEDY}"
    elif _ask(replica, "SELECT pg_is_in_recovery()"):
        yield from _lag(replica, primary)
    elif _started(replica) != _started(primary):
        yield (
            "is no standby (any more): it was promoted, or is a copy, and does not get what is written to DATABASE_URL; "
            + _REMEDY
        )


def _lag(replica: Connection, primary: Connection) -> Iterator[str]:
    if _ask(replica, "SELECT pg_is_wal_replay_paused()"):
        yield "the replay of this standby is paused, so reads are out of date; resume it: SELECT pg_wal_replay_resume()"
        return
    # The time of the last replayed commit alone does not show a lag: it is also long ago if nothing was written since.
    written = _ask(primary, "SELECT pg_current_wal_flush_lsn()::text")
    deadline = time.monotonic() + LAG_SECONDS
    while _ask(replica, "SELECT pg_last_wal_replay_lsn() < CAST(:written AS pg_lsn)", written=written):
        if time.monotonic() > deadline:
            seconds = _ask(
                replica, "SELECT EXTRACT(EPOCH FROM pg_catalog.now() - pg_last_xact_replay_timestamp())"
            )
            last = "" if seconds is None else f"; the last commit that it has replayed is {seconds:.0f} s old"
            yield f"this standby lags: it has not replayed within {LAG_SECONDS:.0f} s what the primary has written{last}"
            return
        time.sleep(POLL_SECONDS)


def _is_another_server(replica: Connection, primary: Connection) -> bool:
    """Return whether the two clusters were made by different runs of initdb. A standby is a copy of its primary."""
    one, other = (
        _ask(each, "SELECT system_identifier FROM pg_control_system()") for each in (replica, primary)
    )
    return one is not None and other is not None and one != other


def _started(connection: Connection) -> Any:
    return _ask(connection, "SELECT pg_postmaster_start_time()")


def _ask(connection: Connection, question: str, **values: Any) -> Any:
    """Return the value of this query; None if the provider of the server does not permit or support it."""
    with suppress(ProgrammingError, NotSupportedError), connection.begin_nested():
        return connection.execute(text(question), values).scalar_one()
    return None
