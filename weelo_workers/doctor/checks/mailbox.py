"""Checks of the mailbox: queues that are behind, and commands that fail."""

from __future__ import annotations

from collections.abc import Iterator

from weelo_workers.contracts.wire import rfc3339
from weelo_workers.doctor.check import IN_SCHEMA, Examination, check
from weelo_workers.messaging import failures
from weelo_workers.queries.backlog import OVERDUE_SECONDS, by_queue

MAX_NAMED = 20  # The limit on listed parked rows, and on listed failing rows. /metrics has the totals.


@check(
    "queue-behind",
    needs=IN_SCHEMA,
    remedy="scale the worker of the queue; if it is idle, see worker-not-consuming and beat-not-sweeping",
)
def queue_behind(examination: Examination) -> Iterator[str]:
    """Find queues whose oldest command has been due for more than five seconds."""
    with examination.database() as connection:
        for line in by_queue(connection):
            if line.oldest_seconds > OVERDUE_SECONDS:
                yield f"queue {line.queue}: {line.due} due, the oldest for {line.oldest_seconds:.0f} s"


@check(
    "commands-parked",
    needs=IN_SCHEMA,
    remedy="read the reason, remove its cause, then `weelo mailbox retry ID`",
)
def commands_parked(examination: Examination) -> Iterator[str]:
    """Find commands that were given up after repeated failures."""
    with examination.database() as connection:
        for row in failures.parked(connection, MAX_NAMED):
            since = f" since {rfc3339(row.parked_at)}" if row.parked_at else ""
            yield f"parked: {row.name} {row.id}{since}: {row.last_error}"


@check(
    "commands-failing",
    needs=IN_SCHEMA,
    remedy="remove the cause that the line names; the command is tried again by itself, or at once by `weelo mailbox retry ID`",
)
def commands_failing(examination: Examination) -> Iterator[str]:
    """Find commands and timers that have failed and will be tried again."""
    with examination.database() as connection:
        for row in failures.failing(connection, MAX_NAMED):
            next_try = f", next try {rfc3339(row.retry_at)}" if row.retry_at else ""
            yield (
                f"failing: {row.name} {row.id}, due {rfc3339(row.due_at)}, {row.attempts + row.crashes} tries{next_try}: "
                f"{row.last_error}"
            )
