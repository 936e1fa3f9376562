"""Handler: write events into their readers' logs, each user's lines numbered without a gap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.notifications import DeliverEvents, SendPushes
from weelo_workers.messaging import ordering
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.metrics import counters
from weelo_workers.models import Broadcast
from weelo_workers.notifications import live_stream
from weelo_workers.notifications.catalog import BY_NAME, Own

# An event without an `expiresAt`, such as a withdrawal, is worth a push for this long.
WORTH_A_PUSH_FOR = timedelta(hours=1)
USERS_PER_PUSH = 50

MANY_LINES = 20_000
"""More lines than this may take longer than the usual time limit of a statement, if the notifier was away for a while."""
_ALLOW_LONG_STATEMENT = text("SET LOCAL statement_timeout = '60s'")


@dataclass(frozen=True, slots=True)
class Line:
    user_id: UUID
    envelope: EventEnvelope
    own: Own


@handles(DeliverEvents)
def deliver(command: DeliverEvents, uow: UnitOfWork) -> None:
    """Write the events of this delivery and of all other waiting deliveries of the same subject, oldest first.

    Deliveries about one subject are claimed one at a time (see `messaging/ordering.py`), so an older delivery is never
    written after a newer one. Many deliveries are written in a handful of statements.
    """
    lines = _lines_of_all(uow, command.subject_id)
    if not lines:
        return
    numbered, reachable = _write(uow.session, lines)
    _send_pushes(uow, numbered, reachable)
    uow.after_commit(lambda: live_stream.publish(_by_event(numbered)))


def _lines_of_all(uow: UnitOfWork, subject_id: UUID) -> list[Line]:
    """Return the lines of all waiting deliveries about this subject, oldest first. Settle all but our own.

    A delivery that raises an error is left out and fails in its own attempt, without the others.
    """
    by_row: dict[UUID, list[EventEnvelope]] = {}
    for row in ordering.waiting_together(uow.session, uow.command_id, DeliverEvents.name, subject_id):
        with _only_ours_matters(row.id, uow):
            by_row[row.id] = list(DeliverEvents.model_validate(row.payload).events)
    # The variable keeps these rows until the end, because the session has only weak references and would load them
    # again for each event.
    _known = _broadcasts_of(uow.session, [event for events in by_row.values() for event in events])
    lines: dict[UUID, list[Line]] = {}
    for row_id, events in by_row.items():
        with _only_ours_matters(row_id, uow):
            lines[row_id] = _lines(uow.session, events)
    others = [row_id for row_id in lines if row_id != uow.command_id]
    if others:
        ordering.settle_along(uow.session, others, uow.now)
        uow.after_commit(lambda: counters.COMMANDS.labels(DeliverEvents.name, "succeeded").inc(len(others)))
    return [line for of_one in lines.values() for line in of_one]


@contextmanager
def _only_ours_matters(row_id: UUID, uow: UnitOfWork) -> Iterator[None]:
    """Ignore errors in other deliveries: another version of this program may have written other fields."""
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError):
        if row_id == uow.command_id:
            raise


def _broadcasts_of(session: Session, events: Sequence[EventEnvelope]) -> list[Broadcast]:
    ids = set()
    for event in events:
        # An event without a readable broadcast is left out here. `_lines` raises the error when it reads the event.
        with suppress(KeyError, ValueError, TypeError, AttributeError):
            ids.add(UUID(event.data["broadcastId"]))
    return list(session.scalars(_BROADCASTS, {"ids": list(ids)}))


_BROADCASTS = select(Broadcast).where(Broadcast.id.in_(bindparam("ids", expanding=True)))


def _lines(session: Session, events: Sequence[EventEnvelope]) -> list[Line]:
    """Return a line for each user in the events' audiences; a user in two audiences of one event gets one line."""
    lines = []
    for event in events:
        audience: dict[UUID, Own] = {}
        for each in BY_NAME[event.event].audiences:
            for user_id, own in each(session, event).items():
                audience.setdefault(user_id, own)
        lines += [Line(user_id, event, own) for user_id, own in audience.items()]
    return lines


# The log heads are locked first, in the order of user ids, so that deliveries never deadlock. `event` and `written`
# read `numbered`, which reads all of `head`, so they insert only when every head is locked. Therefore the positions of
# events have the same order as each reader's lines.
_WRITE = text("""
    WITH line AS (
      SELECT * FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS line (user_id uuid, nth int, event_id uuid, own jsonb)
    ), head AS (
      INSERT INTO log_heads AS head (user_id, seq)
      SELECT user_id, count(*) FROM line GROUP BY user_id ORDER BY user_id
          ON CONFLICT (user_id) DO UPDATE SET seq = head.seq + excluded.seq
      RETURNING user_id, seq
    ), numbered AS MATERIALIZED (
      SELECT user_id, head.seq - own.lines AS before
        FROM head JOIN (SELECT user_id, count(*) AS lines FROM line GROUP BY user_id) AS own USING (user_id)
    ), event AS (
      INSERT INTO events (id, event, at, data)
      SELECT id, event, at, data
        FROM ROWS FROM (
               jsonb_to_recordset(CAST(:events AS jsonb)) AS (id uuid, event text, at timestamptz, data jsonb)
             ) WITH ORDINALITY AS given (id, event, at, data, nth)
       WHERE (SELECT count(*) FROM numbered) > 0
       ORDER BY nth
    ), written AS (
      INSERT INTO log_lines (user_id, seq, event_id, own)
      SELECT line.user_id, numbered.before + line.nth, line.event_id, line.own
        FROM line JOIN numbered USING (user_id)
    )
    SELECT user_id, before, EXISTS (SELECT FROM devices WHERE devices.user_id = numbered.user_id) AS reachable
      FROM numbered
""")


def _write(session: Session, lines: Sequence[Line]) -> tuple[list[tuple[int, Line]], set[UUID]]:
    """Write events and lines, each line with its `seq`. Return the numbered lines, and the readers who have a device."""
    if len(lines) > MANY_LINES:
        session.connection().execute(_ALLOW_LONG_STATEMENT)
    by_user: dict[UUID, list[Line]] = defaultdict(list)
    for line in lines:
        by_user[line.user_id].append(line)
    events = {line.envelope.id: line.envelope for line in lines}.values()
    heads = (
        session.connection()
        .execute(
            _WRITE,
            {
                "lines": _json(
                    {"user_id": user_id, "nth": nth, "event_id": line.envelope.id, "own": line.own}
                    for user_id, own_lines in by_user.items()
                    for nth, line in enumerate(own_lines, start=1)
                ),
                "events": _json(
                    {"id": each.id, "event": BY_NAME[each.event].name, "at": each.at, "data": each.data}
                    for each in events
                ),
            },
        )
        .all()
    )
    before = {head.user_id: head.before for head in heads}
    numbered = [
        (before[user_id] + nth, line)
        for user_id, own_lines in by_user.items()
        for nth, line in enumerate(own_lines, start=1)
    ]
    return numbered, {head.user_id for head in heads if head.reachable}


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    return to_json(list(rows)).decode()


def _send_pushes(uow: UnitOfWork, numbered: Sequence[tuple[int, Line]], reachable: Collection[UUID]) -> None:
    """Send the commands that push these lines, for events that are worth a push and users who have a device."""
    worth_it = [(seq, line) for seq, line in numbered if BY_NAME[line.envelope.event].pushed]
    by_event: dict[UUID, list[tuple[int, Line]]] = defaultdict(list)
    for seq, line in worth_it:
        if line.user_id in reachable:
            by_event[line.envelope.id].append((seq, line))
    for lines in by_event.values():
        for first in range(0, len(lines), USERS_PER_PUSH):
            uow.send(_pushes(lines[first : first + USERS_PER_PUSH]))


def _pushes(lines: Sequence[tuple[int, Line]]) -> SendPushes:
    envelope = lines[0][1].envelope
    assignment = envelope.data.get("assignment") or {}
    ends_at = envelope.data.get("expiresAt")
    ids = {
        "broadcastId": envelope.data.get("broadcastId"),
        "assignmentId": assignment.get("id"),
        "expiresAt": ends_at,
    }
    return SendPushes(
        event_id=envelope.id,
        event=BY_NAME[envelope.event].name,
        data={name: value for name, value in ids.items() if value is not None},
        ends_at=datetime.fromisoformat(ends_at) if ends_at else envelope.at + WORTH_A_PUSH_FOR,
        to={line.user_id: seq for seq, line in lines},
    )


def _by_event(numbered: Sequence[tuple[int, Line]]) -> list[live_stream.StreamEvent]:
    items: dict[UUID, live_stream.StreamEvent] = {}
    for seq, line in numbered:
        envelope = line.envelope
        item = items.setdefault(
            envelope.id,
            live_stream.StreamEvent(
                envelope.id, BY_NAME[envelope.event].name, envelope.at, envelope.data, {}
            ),
        )
        item.to[str(line.user_id)] = (seq, line.own)
    return list(items.values())
