"""Checks of the running processes: workers by their heartbeats in Redis, beat by its heartbeat in PostgreSQL.

A stopped process cannot report that it is stopped, so these checks read what it last reported to Redis or PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isinf

from redis.exceptions import RedisError

from weelo_workers.contracts.queues import Queue
from weelo_workers.doctor.check import IN_SCHEMA, Examination, check
from weelo_workers.messaging.beat_heartbeats import late_after_seconds
from weelo_workers.messaging.consumer_monitor import HELD_LIMIT_SECONDS
from weelo_workers.messaging.worker_heartbeats import Consumption, consumption
from weelo_workers.models.engine import DATABASE_ERRORS
from weelo_workers.queries.health import seconds_since_sweep

# Beat sends a message to each queue from which no message was consumed for five seconds. So even without commands, no
# queue with a working worker is idle for this long.
CONSUMED_LIMIT_SECONDS = 20.0


@check(
    "worker-not-consuming",
    remedy="restart the worker of the queue, or start one; meanwhile beat executes its commands one by one",
)
def worker_not_consuming(examination: Examination) -> Iterator[str]:
    """Find queues whose worker is missing or stopped, or whose child processes accept no messages."""
    with suppress(RedisError):  # an unavailable Redis is a finding of the check `redis`, not of this one
        yield from idle_queues(consumption(), is_probed=_sweeps(examination))


def idle_queues(seen: Mapping[Queue, Consumption], *, is_probed: bool) -> Iterator[str]:
    """Yield a line for each queue that no worker consumes. `is_probed`: beat runs and sends messages to idle queues."""
    for queue, now in seen.items():
        if now.workers == 0:
            yield f"queue {queue}: no worker consumes it"
        elif now.held_seconds > HELD_LIMIT_SECONDS:
            yield f"queue {queue}: a message has waited for a child process of its worker for {now.held_seconds:.0f} s"
        elif is_probed and now.consumed_seconds > CONSUMED_LIMIT_SECONDS and not isinf(now.consumed_seconds):
            yield f"queue {queue}: no message was consumed for {now.consumed_seconds:.0f} s"


@check(
    "beat-not-sweeping",
    needs=IN_SCHEMA,
    remedy="restart beat, or start it; without it lost messages and late timers are not executed",
)
def beat_not_sweeping(examination: Examination) -> Iterator[str]:
    """Find a beat that has not swept lately, or has never swept."""
    with examination.database() as connection:
        if line := late_sweep(seconds_since_sweep(connection)):
            yield line


def late_sweep(seconds: float | None) -> str | None:
    """Return the finding about beat's last sweep; None if the sweep was recent enough.

    The argument is the number of seconds since that sweep; None if there was none.
    """
    if seconds is None:
        return "beat: it has never swept"
    return f"beat: it has not swept for {seconds:.0f} s" if seconds > late_after_seconds() else None


def _sweeps(examination: Examination) -> bool:
    with suppress(*DATABASE_ERRORS), examination.database() as connection:
        return late_sweep(seconds_since_sweep(connection)) is None
    return False
