"""Moves the clock from one due time to the next, so that everything happens in the order of real time.

The clock makes its next step only after everything due has been executed; meanwhile it runs at normal speed. An advance
is a row, so if the process is killed, its successor continues to the same target.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, text, update

from weelo_api.commands.internal import wake
from weelo_workers import redis_clock

# `WakeUps` needs every command to be in the registry. Nothing else in this process imports these modules.
from weelo_workers.contracts import notifications, person, relations, webhooks  # noqa: F401
from weelo_workers.contracts.command import REGISTRY, is_batched
from weelo_workers.models.engine import autocommit_engine, engine
from weelo_workers.models.mailbox import MAILBOX, active, as_sql, pause_is_over
from weelo_workers.models.sandbox import ADVANCES, CLOCK, FLEETS

# --- what the clock waits for -----------------------------------------------------------------------------
# A new table of work outside of the mailbox needs a query here.

NEXT_DUE = {
    "commands, timers and pushes": f"""
        SELECT min(GREATEST(due_at, COALESCE(retry_at, due_at))) FROM mailbox WHERE {as_sql(active())}""",
    "reactions of robots": "SELECT min(due_at) FROM sandbox.reactions",
}
"""Queries of the next time at which something is due. The clock does not step over this time."""

IN_FLIGHT = {
    "a robot has not read its log to the end": """
        SELECT FROM sandbox.robots JOIN log_heads USING (user_id) WHERE seq > seen_seq""",
    "a fleet is being set up": "SELECT FROM sandbox.fleets WHERE ready_at IS NULL",
    # The end of a lease is a real time. If a sender was killed, the clock makes no step until the sender's lease ends.
    "a message is being posted to a webhook": """
        SELECT FROM webhooks WHERE lease_until > pg_catalog.statement_timestamp()""",
}
"""Queries that return a row while work without a due time is going on. The clock makes no step meanwhile."""

# One statement reads all tables. Several statements could miss work that moves from one table to another between them.
_STATE = text(f"""
    SELECT clock_offset, resets, pg_catalog.clock_timestamp() AS plain,
           LEAST({", ".join(f"({query})" for query in NEXT_DUE.values())}) AS next_due,
           {" OR ".join(f"EXISTS ({query})" for query in IN_FLIGHT.values())} AS in_flight,
           EXISTS (SELECT FROM mailbox WHERE {as_sql(active())} AND name = 'broadcasts.expire') AS searching
      FROM sandbox.clock
""")
_FIRST = (
    select(ADVANCES).where(ADVANCES.c.ended_at.is_(None)).order_by(ADVANCES.c.position).limit(1)
).with_for_update()
# `due_at` and `received_at` of a command without a delay come from two readings of the clock, so they differ slightly.
# A difference of less than 10 ms is no delay.
_DELAYED = "due_at > received_at + interval '10 milliseconds'"
_EXECUTED = text(f"SELECT count(*) FROM mailbox WHERE settled_at >= :began_at AND {_DELAYED}")
_NEWLY_DUE = select(MAILBOX.c.id, MAILBOX.c.name, MAILBOX.c.due_at, MAILBOX.c.retry_at).where(
    active(),
    pause_is_over(),
    MAILBOX.c.due_at <= func.statement_timestamp(),
    text(_DELAYED),
)


class Heartbeats(Protocol):
    """Returns when the robots send their next heartbeats.

    No step of the clock goes past this time, because a heartbeat may lead to an offer.
    """

    def next_at(self) -> datetime | None: ...


def move(heartbeats: Heartbeats) -> bool:
    """Make the next step of the oldest unfinished advance. Return False if there is none.

    No step is made while something due is not executed yet.
    """
    with engine().begin() as connection:
        advance = connection.execute(_FIRST).one_or_none()
        if advance is None:
            # Set the offset in Redis again: Redis may have been emptied, or a process killed in the middle of a step.
            redis_clock.move_redis(*connection.execute(select(CLOCK.c.clock_offset, CLOCK.c.resets)).one())
            return False
        target = advance.target if advance.target is not None else _begin(connection, advance)
        _step(connection, advance, target, heartbeats)
        return True


def _begin(connection: Connection, advance: Row[tuple[object, ...]]) -> timedelta:
    """Store when the advance begins, and its target. Return the target: the present offset plus the advance's seconds."""
    target: timedelta = connection.execute(
        update(ADVANCES)
        .where(ADVANCES.c.id == advance.id)
        .values(
            began_at=func.clock_timestamp(),
            target=select(CLOCK.c.clock_offset + timedelta(seconds=advance.seconds)).scalar_subquery(),
        )
        .returning(ADVANCES.c.target)
    ).scalar_one()
    return target


def _step(
    connection: Connection, advance: Row[tuple[object, ...]], target: timedelta, heartbeats: Heartbeats
) -> None:
    state = connection.execute(_STATE).one()
    now = state.plain + state.clock_offset
    if state.in_flight or (state.next_due is not None and state.next_due <= now):
        return
    if state.clock_offset >= target:
        _end(connection, advance)
        return
    stops = [state.next_due, heartbeats.next_at() if state.searching else None]
    wanted = min([target, *(stop - state.plain for stop in stops if stop is not None)])
    # If a heartbeat has come due since this turn began, `wanted` is less than the present offset. The clock never goes
    # back.
    offset = max(wanted, state.clock_offset)
    robots = connection.scalars(select(FLEETS.c.transporter_id)).all()
    # The clock of Redis is moved before that of PostgreSQL, and the robots' heartbeats with it. If the process is
    # killed in between, the clock of Redis is ahead, but the robots stay present, because their heartbeats have the
    # same time.
    redis_clock.move_redis(offset, state.resets, robots)
    connection.execute(update(CLOCK).values(clock_offset=offset))


def _end(connection: Connection, advance: Row[tuple[object, ...]]) -> None:
    began_at = connection.execute(select(ADVANCES.c.began_at).where(ADVANCES.c.id == advance.id)).scalar_one()
    connection.execute(
        update(ADVANCES)
        .where(ADVANCES.c.id == advance.id)
        .values(
            ended_at=func.clock_timestamp(),
            timers_executed=connection.execute(_EXECUTED, {"began_at": began_at}).scalar_one(),
        )
    )


class WakeUps:
    """Wakes workers for timers that have become due, because the countdowns of their messages follow the real time."""

    def __init__(self) -> None:
        self._sent: set[tuple[UUID, datetime | None]] = set()

    def send(self) -> None:
        """Wake a worker for each row that has come due since the last call. If a wake-up is lost, the sweep finds the row."""
        with autocommit_engine().connect() as connection:
            rows = connection.execute(_NEWLY_DUE.order_by(MAILBOX.c.due_at)).all()
        due = {
            (row.id, row.retry_at): row for row in rows if row.name in REGISTRY and not is_batched(row.name)
        }
        for key, row in due.items():
            if key not in self._sent:
                wake(row.id, REGISTRY[row.name])
        self._sent = set(due)
