"""The operator's list of everything that should move and does not, each entry with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError
from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from weelo_workers import clock
from weelo_workers.contracts.admin import StuckBecause, StuckSubject, StuckView
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.messaging.worker_heartbeats import consumers
from weelo_workers.models import Assignment, Broadcast, MailboxRow, Webhook
from weelo_workers.models.mailbox import due, parked, retrying
from weelo_workers.queries import not_moving
from weelo_workers.queries.backlog import OVERDUE_SECONDS, by_queue

MAX_OF_A_KIND = 50

CHECKS_OF_ROWS = frozenset(
    """
    queue-behind commands-parked commands-failing broadcast-without-timer broadcast-past-its-deadline
    """.split()  # noqa: SIM905 (a list of quoted words is harder to read)
)
"""Checks of `weelo doctor` whose findings are listed here row by row, as they are now. Beat's last run may be a minute old."""

REMEDIES = {
    StuckBecause.PAST_DEADLINE: "Expire it: `POST /api/v1/admin/broadcasts/{id}/expire`. If there are several, look at the queue "
    "`timers` and at beat.",
    StuckBecause.NO_EXPIRY_TIMER: "Expire or cancel it with `POST /api/v1/admin/broadcasts/{id}/expire` or `/cancel`.",
    StuckBecause.PARKED_COMMAND: "Remove the cause of the error, then `weelo mailbox retry ID`.",
    StuckBecause.FAILING_COMMAND: "It is tried again by itself. If the cause is removed, `weelo mailbox retry ID` tries it at once.",
    StuckBecause.OVERDUE_TIMER: "See that beat and a worker of the queue `timers` run; beat then executes it.",
    StuckBecause.IDLE_ASSIGNMENT: "Ask driver and transporter, then end the trip with `POST /api/v1/assignments/{id}/end`.",
    StuckBecause.FAILING_WEBHOOK: "Its owner has to repair the endpoint. Messages are sent again by themselves.",
    StuckBecause.WAITING_WEBHOOK: "See that a worker of the queue `webhooks` runs.",
    StuckBecause.LATE_QUEUE: "Start more workers of the queue, or restart one that hangs.",
    StuckBecause.QUEUE_WITHOUT_WORKER: "Start a worker of the queue.",
}


def stuck(session: Session) -> list[dict[str, Any]]:
    """Return what should move and does not: at most 50 of each kind, the oldest first."""
    parts = (
        _queues(session),
        _commands(session),
        _broadcasts(session),
        _assignments(session),
        _webhooks(session),
    )
    return [each.json_dict() for part in parts for each in part]


def _view(because: StuckBecause, subject: StuckSubject, subject_id: UUID | None, **more: Any) -> StuckView:
    return StuckView(
        because=because,
        subject=subject,
        subject_id=subject_id,
        remedy=REMEDIES[because],
        **{"check": None, "queue": None, "broadcast_id": None, "since": None, **more},
    )


def _queues(session: Session) -> Iterator[StuckView]:
    try:
        without_worker = {queue for queue, workers in consumers().items() if workers == 0}
    except RedisError:
        without_worker = set()  # That Redis does not answer is reported by `weelo doctor`, not here.
    now = clock.now()
    for line in by_queue(session.connection()):
        since = now - timedelta(seconds=line.oldest_seconds) if line.due else None
        waiting = f"{line.due} commands are due, the oldest for {line.oldest_seconds:.0f} s."
        if line.queue in without_worker:
            yield _view(
                StuckBecause.QUEUE_WITHOUT_WORKER,
                StuckSubject.QUEUE,
                None,
                queue=line.queue,
                since=since,
                detail=f"No worker consumes the queue. {waiting}",
            )
        elif line.oldest_seconds > OVERDUE_SECONDS:
            yield _view(
                StuckBecause.LATE_QUEUE,
                StuckSubject.QUEUE,
                None,
                queue=line.queue,
                since=since,
                detail=waiting,
            )


def _commands(session: Session) -> Iterator[StuckView]:
    overdue = and_(due(MailboxRow), MailboxRow.queue == TIMERS, MailboxRow.due_at < not_moving.OVERDUE)
    kinds = (
        (StuckBecause.PARKED_COMMAND, parked(MailboxRow), MailboxRow.parked_at),
        (StuckBecause.FAILING_COMMAND, retrying(MailboxRow), MailboxRow.due_at),
        (StuckBecause.OVERDUE_TIMER, and_(overdue, ~retrying(MailboxRow)), MailboxRow.due_at),
    )
    for because, condition, since in kinds:
        rows = session.execute(
            select(MailboxRow, since.label("since")).where(condition).order_by(since).limit(MAX_OF_A_KIND)
        )
        for row, at in rows:
            tries = (
                f"{row.attempts + row.crashes} tries, {row.last_error}" if row.last_error else "not tried yet"
            )
            yield _view(
                because,
                StuckSubject.COMMAND,
                row.id,
                queue=row.queue,
                broadcast_id=row.payload.get("broadcast_id"),
                since=at,
                detail=f"{row.name}: {tries}",
            )


def _broadcasts(session: Session) -> Iterator[StuckView]:
    late = not_moving.past_deadline()
    kinds = (
        (StuckBecause.PAST_DEADLINE, late, Broadcast.expires_at),
        (StuckBecause.NO_EXPIRY_TIMER, and_(not_moving.without_expiry(), ~late), Broadcast.state_changed_at),
    )
    for because, condition, since in kinds:
        rows = session.execute(
            select(Broadcast, since.label("since")).where(condition).order_by(since).limit(MAX_OF_A_KIND)
        )
        for broadcast, at in rows:
            yield _view(
                because,
                StuckSubject.BROADCAST,
                broadcast.id,
                broadcast_id=broadcast.id,
                since=at,
                detail=f"The {broadcast.kind} is {broadcast.status}.",
            )


def _assignments(session: Session) -> Iterator[StuckView]:
    rows = session.scalars(
        select(Assignment)
        .where(not_moving.without_timer())
        .order_by(Assignment.state_changed_at)
        .limit(MAX_OF_A_KIND)
    )
    for assignment in rows:
        yield _view(
            StuckBecause.IDLE_ASSIGNMENT,
            StuckSubject.ASSIGNMENT,
            assignment.id,
            broadcast_id=assignment.broadcast_id,
            since=assignment.state_changed_at,
            detail=f"The assignment of {assignment.vehicle_number} is {assignment.status}.",
        )


def _webhooks(session: Session) -> Iterator[StuckView]:
    failing = session.scalars(
        select(Webhook)
        .where(Webhook.is_active, Webhook.failing_since.is_not(None))
        .order_by(Webhook.failing_since)
        .limit(MAX_OF_A_KIND)
    )
    for webhook in failing:
        yield _view(
            StuckBecause.FAILING_WEBHOOK,
            StuckSubject.WEBHOOK,
            webhook.id,
            since=webhook.failing_since,
            detail=f"{webhook.failures} attempts in a row have failed: {webhook.last_error}",
        )
    waiting = session.scalars(
        select(Webhook).where(not_moving.not_delivered()).order_by(Webhook.created_at).limit(MAX_OF_A_KIND)
    )
    for webhook in waiting:
        yield _view(
            StuckBecause.WAITING_WEBHOOK,
            StuckSubject.WEBHOOK,
            webhook.id,
            detail=f"Messages after number {webhook.delivered_seq} wait.",
        )
