"""How much the database's clock differs from this machine's."""

from __future__ import annotations

import time

from sqlalchemy import Connection, text

# In a sandbox clock_timestamp() without its schema is the clock that callers move.
_NOW = text("SELECT EXTRACT(EPOCH FROM pg_catalog.clock_timestamp())::float")


def clock_skew(connection: Connection) -> float:
    """Return the database's clock minus this machine's, in seconds. The error is at most half of the round trip."""
    before = time.time()
    database = float(connection.execute(_NOW).scalar_one())
    return database - (before + time.time()) / 2
