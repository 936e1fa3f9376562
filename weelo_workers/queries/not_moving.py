"""Conditions for rows that should move and do not: for the checks of `weelo doctor`, and for the operator's list.

Combine these conditions with others by AND only. PostgreSQL then reads all waiting commands once (an anti-join),
instead of once per row.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Exists, Text, and_, cast, exists, func, or_, select

from weelo_workers.contracts.broadcasts import ExpireBroadcast
from weelo_workers.contracts.queues import TIMERS, WEBHOOKS
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.trips import ASSIGNMENT_TIMERS
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import Assignment, Broadcast, Driver, EventRecord, LogLine, MailboxRow, Webhook
from weelo_workers.models.mailbox import active, unsettled
from weelo_workers.queries.backlog import OVERDUE_SECONDS

OVERDUE = func.clock_timestamp() - timedelta(seconds=OVERDUE_SECONDS)
"""A timer or a command that was due before this time is reported."""


def past_deadline() -> ColumnElement[bool]:
    """Return the condition that a broadcast is open past its deadline."""
    return and_(Broadcast.status.in_(OPEN), Broadcast.expires_at < OVERDUE)


def without_expiry() -> ColumnElement[bool]:
    """Return the condition that a broadcast is open and no timer will expire it."""
    return and_(
        Broadcast.status.in_(OPEN), ~_has_timer("broadcast_id", Broadcast.id, (ExpireBroadcast.name,))
    )


def without_timer() -> ColumnElement[bool]:
    """Return the condition that no timer and no driver will move a live assignment.

    This is so if no timer is stored for it, and its driver has not answered yet or has left the fleet.
    """
    is_of_fleet = exists().where(
        Driver.id == Assignment.driver_id, Driver.transporter_id == Assignment.transporter_id
    )
    return and_(
        Assignment.status.in_(LIVE),
        or_(Assignment.status == AssignmentStatus.PENDING, ~is_of_fleet),
        ~_has_timer("assignment_id", Assignment.id, ASSIGNMENT_TIMERS),
    )


def not_delivered() -> ColumnElement[bool]:
    """Return the condition that lines wait for a webhook and no command will deliver them."""
    waits = exists(
        select(LogLine.seq)
        .join(EventRecord, EventRecord.id == LogLine.event_id)
        .where(
            LogLine.user_id == Webhook.user_id,
            LogLine.seq > Webhook.delivered_seq,
            EventRecord.at < OVERDUE,
            or_(Webhook.events.has_key("*"), Webhook.events.has_key(EventRecord.event)),
        )
    )
    will_be_delivered = exists().where(
        active(MailboxRow),  # a parked command is left out, because it delivers nothing
        MailboxRow.queue == WEBHOOKS,
        MailboxRow.payload["webhook_id"].astext == cast(Webhook.id, Text),
    )
    return and_(
        Webhook.is_active,
        or_(Webhook.lease_until.is_(None), Webhook.lease_until < OVERDUE),
        waits,
        ~will_be_delivered,
    )


def _has_timer(field: str, row_id: Any, names: tuple[str, ...]) -> Exists:
    """Return the condition that a timer of one of these names is stored for the row.

    A parked timer counts as stored, because another check reports it.
    """
    return exists().where(
        unsettled(MailboxRow),
        MailboxRow.queue == TIMERS,
        MailboxRow.name.in_(names),
        MailboxRow.payload[field].astext == cast(row_id, Text),
    )
