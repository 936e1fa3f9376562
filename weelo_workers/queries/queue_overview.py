"""The queues as an operator sees them: what waits, how late commands were executed, and which workers consume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis.exceptions import RedisError
from sqlalchemy import Connection, text

from weelo_workers.contracts.queues import Queue
from weelo_workers.messaging import failures
from weelo_workers.messaging.worker_heartbeats import consumers
from weelo_workers.models import MailboxRow
from weelo_workers.queries.backlog import Backlog, by_queue

LATENESS_SECONDS = 60
"""The lateness is that of the commands which were settled within this many seconds before now."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """The number of settled commands, and the seconds from their due time to their outcome.

    `median`, `p95`: the median and the 95th percentile of these seconds.
    """

    settled: int
    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue. `consumers`: the number of its workers; None if Redis does not answer."""

    backlog: Backlog
    lateness: Lateness
    consumers: int | None


_LATENESS = text("""
    SELECT queue, count(*) AS settled,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY late) AS median,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY late) AS p95
      FROM (SELECT queue, EXTRACT(EPOCH FROM settled_at - due_at) AS late FROM mailbox
             WHERE settled_at > statement_timestamp() - make_interval(secs => :seconds)) AS recent
     GROUP BY queue
""")


def queue_states(connection: Connection) -> list[QueueState]:
    """Return the state of each queue, also of those without commands."""
    lateness = {
        row.queue: Lateness(row.settled, float(row.median), float(row.p95))
        for row in connection.execute(_LATENESS, {"seconds": LATENESS_SECONDS})
    }
    try:
        workers = consumers()
    except RedisError:
        workers = None
    return [
        QueueState(
            backlog,
            lateness.get(backlog.queue, Lateness(0, 0.0, 0.0)),
            None if workers is None else workers.get(cast(Queue, backlog.queue), 0),
        )
        for backlog in by_queue(connection)
    ]


def parked_commands(connection: Connection, limit: int) -> Sequence[MailboxRow]:
    """Return the parked commands, oldest first."""
    return failures.parked(connection, limit)


def failing_commands(connection: Connection, limit: int) -> Sequence[MailboxRow]:
    """Return the commands that have failed and will be tried again, oldest first."""
    return failures.failing(connection, limit)
