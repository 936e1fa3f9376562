"""The schema `sandbox`: the offset of the clock, functions that add it, and the tables of robots and advances.

Only the database of a sandbox has this schema, so its presence marks such a database. Its tables are no part of the
migrations: each start of a sandbox makes what is missing.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Interval,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from weelo_workers.models.base import Base

SCHEMA = "sandbox"
metadata = MetaData(schema=SCHEMA)

CLOCK = Table(
    "clock",
    metadata,
    Column("only_row", Boolean, CheckConstraint("only_row", name="there_is_one_clock"), primary_key=True),
    Column("clock_offset", Interval, nullable=False),
    # The number of resets. If it has changed, presence in Redis is deleted as well (redis_clock.py).
    Column("resets", BigInteger, nullable=False),
)

ADVANCES = Table(
    "advances",
    metadata,
    Column("id", Uuid, primary_key=True),
    # Advances are executed one after another, in the order of this column.
    Column("position", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("seconds", Double, nullable=False),
    # The next two columns are null until the advance begins. `target` is the offset at its end.
    Column("began_at", DateTime(timezone=True)),
    Column("target", Interval),
    # The next two columns are null until the clock has reached the target and everything due has been executed.
    Column("ended_at", DateTime(timezone=True)),
    Column("timers_executed", BigInteger),
)

FLEETS = Table(
    "fleets",
    metadata,
    Column("transporter_id", Uuid, primary_key=True),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    Column("vehicle_type", Text, nullable=False),
    Column("vehicle_subtype", Text, nullable=False),
    Column("trucks", BigInteger, nullable=False),
    Column("behaviour", Text, nullable=False),
    Column("after_seconds", Double, nullable=False),
    # A fleet is set up in this order: this row, its vehicles and drivers, then `ready_at`.
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("ready_at", DateTime(timezone=True)),
)

# The robots: the simulated transporter and drivers of each fleet. A robot has reacted to the lines of its log up to
# `seen_seq`.
ROBOTS = Table(
    "robots",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column(
        "fleet_id", Uuid, ForeignKey(FLEETS.c.transporter_id, ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("seen_seq", BigInteger, nullable=False),
)

# What each robot will do, and when by the sandbox's clock.
REACTIONS = Table(
    "reactions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column(
        "fleet_id", Uuid, ForeignKey(FLEETS.c.transporter_id, ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("user_id", Uuid, nullable=False),
    Column("action", Text, nullable=False),
    Column("about", JSONB, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False, index=True),
)

# Each function hides the function of the same name in pg_catalog, and has the same volatility. Conditions with
# `statement_timestamp()` can use an index, because it is stable. `clock_timestamp()` is volatile, so that it changes
# during a statement.
CLOCK_FUNCTIONS = {
    "now": "STABLE",
    "transaction_timestamp": "STABLE",
    "statement_timestamp": "STABLE",
    "clock_timestamp": "VOLATILE",
}
_FUNCTION = """
CREATE OR REPLACE FUNCTION sandbox.{name}() RETURNS timestamptz LANGUAGE sql {volatility} PARALLEL SAFE
AS 'SELECT pg_catalog.{name}() + clock_offset FROM sandbox.clock'
"""

# A reset keeps these tables: users, because processes have cached their ids, and the heads of logs, because open
# sockets rely on line numbers that never start again from 1.
KEPT = frozenset({"users", "log_heads"})
# The API's role may not delete rows, so the function runs with the rights of the schema's owner.
_RESET = """
CREATE OR REPLACE FUNCTION sandbox.reset() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = {ours}, pg_catalog
AS 'TRUNCATE {tables}; UPDATE sandbox.clock SET clock_offset = interval ''0'', resets = resets + 1'
"""

_HAS_SCHEMA = text("SELECT to_regclass('sandbox.clock') IS NOT NULL")
_HAS_OUR_TABLES = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_CLOCK_IN_USE = text("SELECT 'clock_timestamp()'::regprocedure = 'sandbox.clock_timestamp()'::regprocedure")


def is_marked(connection: Connection) -> bool:
    """Return whether this is the database of a sandbox."""
    return bool(connection.execute(_HAS_SCHEMA).scalar_one())


def refusal(connection: Connection, *, sandbox: bool) -> str | None:
    """Return why this database cannot be used; None if it can. `sandbox`: whether this system is a sandbox."""
    if not sandbox and is_marked(connection):
        return "this is the database of a sandbox, whose clock is moved; use a database of its own"
    if sandbox and not is_marked(connection) and connection.execute(_HAS_OUR_TABLES).scalar_one():
        return "this database was not made by a sandbox, and callers of a sandbox may delete all rows; use a database of its own"
    return None


def create(connection: Connection) -> None:
    """Make the schema before the migrations run, so that the defaults of their columns use its clock.

    Raises ValueError if the clock is hidden, because the URL sets a search_path, or because a pooler has dropped the
    search_path that this system sets.
    """
    connection.execute(text("CREATE SCHEMA IF NOT EXISTS sandbox"))
    metadata.create_all(connection)
    connection.execute(
        text("INSERT INTO sandbox.clock VALUES (true, interval '0', 0) ON CONFLICT DO NOTHING")
    )
    for name, volatility in CLOCK_FUNCTIONS.items():
        connection.execute(text(_FUNCTION.format(name=name, volatility=volatility)))
    if not connection.execute(_CLOCK_IN_USE).scalar_one():
        raise ValueError(
            "its search_path hides the clock of the sandbox; leave it out of the URL, and use no pooler"
        )


def grant(connection: Connection) -> None:
    """Create the function `sandbox.reset`, and allow all roles to use the sandbox. The tables of the migrations must exist."""
    ours = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    emptied = [
        *(f"{ours}.{table}" for table in sorted(set(Base.metadata.tables) - KEPT)),
        *(str(table) for table in metadata.sorted_tables if table is not CLOCK),
    ]
    connection.execute(text(_RESET.format(ours=ours, tables=", ".join(emptied))))
    # Every role may use the sandbox.
    for statement in (
        "GRANT USAGE ON SCHEMA sandbox TO PUBLIC",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sandbox TO PUBLIC",
    ):
        connection.execute(text(statement))
