"""The event log: events are written into their readers' logs, each user's lines numbered without a gap.

The lines are written in the transaction of the command that published the events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.notifications import SendPushes
from weelo_workers.contracts.webhooks import DeliverWebhook
from weelo_workers.messaging.handlers import writes_events
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models.mailbox import as_sql, due, untroubled
from weelo_workers.models.prepared import prepared
from weelo_workers.notifications import live_stream
from weelo_workers.notifications.catalog import BY_NAME, Own

# An event without an `expiresAt`, such as a withdrawal, is worth a push for this long.
WORTH_A_PUSH_FOR = timedelta(hours=1)
USERS_PER_PUSH = 50


@dataclass(frozen=True, slots=True)
class Line:
    user_id: UUID
    envelope: EventEnvelope
    own: Own


@writes_events
def write(uow: UnitOfWork, events: Sequence[EventEnvelope]) -> None:
    """Write events into their readers' logs, send their pushes, and publish the lines after the commit.

    The log heads are the last rows that a transaction locks, and they are locked in the order of user ids. So
    transactions with common readers wait for one another, and never deadlock.
    """
    lines = _lines(uow.session, events)
    if not lines:
        return
    numbered, reachable, webhooks = _write(uow.session, lines)
    _send_pushes(uow, numbered, reachable)
    if webhooks:
        _deliver_to_webhooks(uow, webhooks)
    # Sockets and waiting requests get the lines before the worker updates presence, which takes longer.
    uow.after_commit(lambda: live_stream.publish(_by_event(numbered)), first=True)


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


# A log head is the row with the last `seq` of a user's log. This statement first locks the log heads of all readers, in
# the order of user ids, so that transactions cannot deadlock. Its parts `event` and `written` insert only when all heads
# are locked, because they read `numbered`, which reads all of `head`. Therefore events get their positions in the same
# order as each reader's log gets its lines.
#
# Transactions with a common reader wait until this one ends. If this process is suspended meanwhile, PostgreSQL ends its
# transaction after two seconds, and the command is executed again.
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
    SELECT user_id, before, EXISTS (SELECT FROM devices WHERE devices.user_id = numbered.user_id) AS reachable,
           (SELECT jsonb_object_agg(webhooks.id, webhooks.events) FROM webhooks
             WHERE webhooks.user_id = numbered.user_id AND webhooks.is_active) AS webhooks,
           (SELECT set_config('idle_in_transaction_session_timeout', '2s', true)) AS idle_limit
      FROM numbered
""").execution_options(**prepared("write_events"))


def _write(session: Session, lines: Sequence[Line]) -> tuple[list[tuple[int, Line]], set[UUID], list[str]]:
    """Write events and lines, each line with its `seq`.

    Return the numbered lines, the readers who have a device, and the ids of the webhooks that subscribe to one of the
    lines.
    """
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
    reachable = {head.user_id for head in heads if head.reachable}
    asked = [
        webhook_id
        for head in heads
        for webhook_id, names in (head.webhooks or {}).items()
        if not {"*", *(BY_NAME[line.envelope.event].name for line in by_user[head.user_id])}.isdisjoint(names)
    ]
    return numbered, reachable, asked


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


# Returns the webhooks that have a stored delivery which no worker is executing yet. The lock keeps workers from
# executing this delivery before the transaction ends, so the delivery will read the transaction's lines. A delivery
# that is being executed is locked and therefore skipped, because it may have read the log already.
_DELIVERY_WAITS = text(f"""
    SELECT payload->>'webhook_id' FROM mailbox
     WHERE {as_sql(due())} AND queue = 'webhooks' AND payload->>'webhook_id' = ANY(:webhooks)
       AND name = '{DeliverWebhook.name}' AND {as_sql(untroubled())}
       FOR KEY SHARE SKIP LOCKED
""")


def _deliver_to_webhooks(uow: UnitOfWork, webhooks: Sequence[str]) -> None:
    """Send the command DeliverWebhook for each of these webhooks, unless one is waiting for it already."""
    waiting = set(uow.session.connection().execute(_DELIVERY_WAITS, {"webhooks": list(webhooks)}).scalars())
    for webhook_id in webhooks:
        if webhook_id not in waiting:
            uow.send(DeliverWebhook(webhook_id=UUID(webhook_id)))


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
