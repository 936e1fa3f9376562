"""One turn of the sandbox's process: robots first, then the clock, because the clock waits for the robots."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError
from sqlalchemy import text

from weelo_api.sandbox import fleets, mover, robots
from weelo_workers.log_rate_limit import RateLimitFilter
from weelo_workers.models.engine import DATABASE_ERRORS, autocommit_engine, engine

log = logging.getLogger(__name__)
log.addFilter(RateLimitFilter())

# The lock ends with its transaction. If the process is killed, its connection closes, which ends the transaction.
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended('weelo sandbox', 0))")
# One query looks for all kinds of work, because most turns find nothing to do.
_TO_DO = text(f"""
    SELECT clock_timestamp() AS now,
           EXISTS ({mover.IN_FLIGHT["a fleet is being set up"]}) AS fleets,
           EXISTS ({mover.IN_FLIGHT["a robot has not read its log to the end"]}) AS lines,
           EXISTS (SELECT FROM sandbox.reactions WHERE due_at <= statement_timestamp()) AS reactions
""")


class Loop:
    """The state of the process between turns. It may be lost, because everything that has to be done is stored in rows."""

    def __init__(self) -> None:
        self.is_moving = False
        self._wake_ups = mover.WakeUps()
        self._heartbeats = fleets.Heartbeats()

    def turn(self) -> None:
        """Do what is due. An outage of PostgreSQL or Redis is logged, and the next turn tries again."""
        try:
            with engine().begin() as lock:
                if lock.execute(_ONE_AT_A_TIME).scalar_one():
                    self._turn()
        except (RedisError, *DATABASE_ERRORS) as problem:
            log.warning("the sandbox waits for PostgreSQL or Redis: %s", str(problem).splitlines()[0])

    def _turn(self) -> None:
        # The connection that holds the lock is not used here: a transaction that has read tables would block a reset,
        # and the waiting reset would block the other connections of this turn.
        with autocommit_engine().connect() as connection:
            to_do = connection.execute(_TO_DO).one()
        if to_do.fleets:
            fleets.set_up()
        self._heartbeats.send(to_do.now)
        if to_do.lines:
            robots.read_logs()
        if to_do.reactions or to_do.lines:
            robots.act()
        self.is_moving = mover.move(self._heartbeats)
        self._wake_ups.send()
