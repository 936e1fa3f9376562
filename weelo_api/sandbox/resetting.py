"""Deletes everything in the sandbox, and sets the clock back."""

from __future__ import annotations

from contextlib import suppress

from redis.exceptions import RedisError
from sqlalchemy import select, text
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from weelo_workers import redis_clock
from weelo_workers.models.engine import engine, is_contention
from weelo_workers.models.sandbox import CLOCK


@retry(
    # A deadlock is possible, because a command that is being executed locks rows in another order than the reset locks
    # tables. The reset is then repeated.
    retry=retry_if_exception(is_contention),
    stop=stop_after_attempt(8),
    wait=wait_random_exponential(multiplier=0.05, max=0.5),
    reraise=True,
)
def reset() -> None:
    """Delete all rows but users and the newest `seq` of each log, then presence, and set the clock's offset to 0.

    If Redis does not answer, the process of the sandbox deletes presence later.
    """
    with engine().begin() as connection:
        connection.execute(text("SELECT sandbox.reset()"))
    with suppress(RedisError), engine().connect() as connection:
        redis_clock.move_redis(*connection.execute(select(CLOCK.c.clock_offset, CLOCK.c.resets)).one())
