"""Checks of the mailbox: queues that are behind, and commands that fail."""

from __future__ import annotations

from collections.abc import Iterator

from weelo_workers.doctor.check import IN_SCHEMA, OVERDUE_SECONDS, Examination, check
from weelo_workers.doctor.errors import time_of
from weelo_workers.messaging import failures
from weelo_workers.queries.backlog import by_queue

MOST_NAMED = 20  # The limit on listed parked rows, and on listed failing rows. /metrics has the totals.


@check(
    "queue-behind",
    needs=IN_SCHEMA,
    remedy="scale the worker of the queue; if it is idle, see worker-not-consuming and beat-not-sweeping",
)
def queue_behind(look: Examination) -> Iterator[str]:
    """Find queues whose oldest command has been due for more than five seconds."""
    with look.database() as connection:
        for line in by_queue(connection):
            if line.oldest_seconds > OVERDUE_SECONDS:
                yield f"queue {line.queue}: {line.due} due, the oldest for {line.oldest_seconds:.0f} s"


@check(
    "commands-parked",
    needs=IN_SCHEMA,
    remedy="read the reason, mend its cause, then `weelo mailbox retry ID`",
)
def commands_parked(look: Examination) -> Iterator[str]:
    """Find commands that were given up after repeated failures."""
    with look.database() as connection:
        for row in failures.parked(connection, MOST_NAMED):
            yield f"parked: {row.name} {row.id} since {time_of(row.parked_at)}: {row.last_error}"


@check(
    "commands-failing",
    needs=IN_SCHEMA,
    remedy="mend the cause that the line gives; it is tried again by itself, or at once by `weelo mailbox retry ID`",
)
def commands_failing(look: Examination) -> Iterator[str]:
    """Find commands and timers that have failed and will be tried again."""
    with look.database() as connection:
        for row in failures.failing(connection, MOST_NAMED):
            next_try = f", next try {time_of(row.retry_at)}" if row.retry_at else ""
            yield (
                f"failing: {row.name} {row.id}, due {time_of(row.due_at)}, {row.attempts + row.crashes} tries{next_try}: "
                f"{row.last_error}"
            )
