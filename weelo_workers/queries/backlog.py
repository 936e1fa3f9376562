"""Counts and ages of waiting mailbox rows. A great age reveals that a worker sends heartbeats but executes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Exists, Text, bindparam, exists, text

from weelo_workers.contracts.command import REGISTRY, Command
from weelo_workers.contracts.notifications import DeliverEvents
from weelo_workers.contracts.queues import QUEUES, TIMERS, Queue
from weelo_workers.models.mailbox import (
    MAILBOX,
    active,
    as_sql,
    due,
    due_later,
    parked,
    retrying,
    unsettled,
    waiting,
)

OVERDUE_SECONDS = 5
"""A timer or command that is later than this is reported. The sweep executes a lost one within about two seconds."""


@dataclass(frozen=True, slots=True)
class Backlog:
    queue: str
    due: int
    """Rows that are due, unsettled and not parked."""
    oldest_seconds: float
    """Seconds since the oldest of the due rows became due."""
    later: int
    """Rows that are not yet due: timers."""
    failing: int
    """Rows that have failed and will be retried."""
    parked: int
    """Rows that are not retried until an operator asks for it."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """Events that an earlier version has stored and that are not in the logs yet."""

    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Due commands of one queue that have not been attempted, and how long the oldest has been due."""

    count: int
    oldest_seconds: float


_BY_QUEUE = text(f"""
    SELECT queue,
           count(*) FILTER (WHERE {as_sql(due())}) AS due,
           COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at) FILTER (WHERE {as_sql(due())})), 0) AS oldest,
           count(*) FILTER (WHERE {as_sql(due_later())}) AS later,
           count(*) FILTER (WHERE {as_sql(retrying())}) AS failing,
           count(*) FILTER (WHERE {as_sql(parked())}) AS parked
      FROM mailbox
     WHERE {as_sql(unsettled())}
     GROUP BY queue
""")

_OLDEST_TIMERS = text(f"""
    SELECT name, EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)) AS oldest
      FROM mailbox
     WHERE {as_sql(due())} AND queue = '{TIMERS}'
     GROUP BY name
""")

# In a row that another version of this program has written, `events` may be missing or may not be a list. Such a row
# counts as one event.
_UNSENT = text(f"""
    SELECT COALESCE(sum(CASE jsonb_typeof(payload->'events')
                             WHEN 'array' THEN jsonb_array_length(payload->'events') ELSE 1 END), 0) AS events,
           COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)), 0) AS oldest
      FROM mailbox
     WHERE {as_sql(active())} AND name = '{DeliverEvents.name}'
""")


def oldest_timers(connection: Connection) -> dict[str, float]:
    """Return for each kind of timer how long (seconds) the oldest one has been due; 0 if none is due."""
    kinds = dict.fromkeys((name for name, command in REGISTRY.items() if command.queue == TIMERS), 0.0)
    due_since = {row.name: max(0.0, float(row.oldest)) for row in connection.execute(_OLDEST_TIMERS)}
    return kinds | due_since


def unsent_events(connection: Connection) -> Unsent:
    row = connection.execute(_UNSENT).one()
    return Unsent(int(row.events), max(0.0, float(row.oldest)))


# Commands that have failed or that this version does not know are not counted, because they delay no other commands.
_WAITS = text(f"""
    SELECT queue, count(*) AS waiting, EXTRACT(EPOCH FROM clock_timestamp() - min(due_at)) AS oldest
      FROM mailbox
     WHERE {as_sql(waiting())} AND {as_sql(due())} AND name = ANY(:names)
     GROUP BY queue
""").bindparams(bindparam("names", type_=ARRAY(Text)))


def is_unsettled(*commands: type[Command], **fields: UUID) -> Exists:
    """Return the condition that one of these commands waits, is executed now, or will be retried.

    `fields`: ids by the name of a field. Only commands with these ids in their payload count.
    """
    return exists().where(
        active(),
        MAILBOX.c.queue.in_({command.queue for command in commands}),
        MAILBOX.c.name.in_({command.name for command in commands}),
        *(MAILBOX.c.payload[name].astext == str(value) for name, value in fields.items()),
    )


def waits(connection: Connection) -> dict[Queue, Wait]:
    """Return the number and the age of due commands that have not been attempted, for each queue that has any.

    Commands that run in the background or in batches are not counted, because they keep no worker of the queue busy.
    Commands with a `priority` other than 0 are not counted either, because workers execute them after all others.
    """
    names = [
        name
        for name, command in REGISTRY.items()
        if not (command.runs_in_background or command.batched or command.priority)
    ]
    rows = connection.execute(_WAITS, {"names": names})
    return {row.queue: Wait(row.waiting, float(row.oldest)) for row in rows}


def by_queue(connection: Connection) -> list[Backlog]:
    """Return the backlog of each queue, also of the empty ones."""
    rows = {row.queue: row for row in connection.execute(_BY_QUEUE)}
    return [
        Backlog(queue, row.due, float(row.oldest), row.later, row.failing, row.parked)
        if (row := rows.get(queue))
        else Backlog(queue, 0, 0.0, 0, 0, 0)
        for queue in QUEUES
    ]
