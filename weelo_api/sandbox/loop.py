"""One turn of the sandbox's process: robots first, then the clock, because the clock waits for the robots."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError
from sqlalchemy import text

from weelo_api.sandbox import fleets, mover, robots
from weelo_workers.models.engine import DATABASE_ERRORS, engine

log = logging.getLogger(__name__)

# The lock belongs to the transaction, so it is free as soon as a killed process's connection ends.
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended('weelo sandbox', 0))")


class Loop:
    """The process's state between turns. All of it may be lost: what has to be done is in rows."""

    def __init__(self) -> None:
        self.is_moving = False
        self._wakes = mover.WakeUps()
        self._heartbeats = fleets.Heartbeats()

    def turn(self) -> None:
        """Do what is due. An outage of PostgreSQL or Redis is logged, and the next turn tries again."""
        try:
            with engine().begin() as lock:
                if lock.execute(_ONE_AT_A_TIME).scalar_one():
                    self._turn()
        except (RedisError, *DATABASE_ERRORS) as problem:
            log.warning("the sandbox waits: %s", str(problem).splitlines()[0])

    def _turn(self) -> None:
        fleets.set_up()
        self._heartbeats.send()
        robots.read_logs()
        robots.act()
        self.is_moving = mover.move(self._heartbeats)
        self._wakes.send()
