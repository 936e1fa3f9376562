"""Begins an erasure: checks that nothing of the person is under way, and ends their availability."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, and_, any_, bindparam, exists, or_, select, update
from sqlalchemy.orm import Session

from weelo_workers.contracts.person import ErasePerson
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import DisabledReason, HoldStatus
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import (
    Assignment,
    Broadcast,
    Device,
    Driver,
    Erasure,
    Hold,
    LogHead,
    MailboxRow,
    Offer,
    Transporter,
    User,
    Vehicle,
    Webhook,
)
from weelo_workers.models.mailbox import active
from weelo_workers.person.rows import FROM_OPERATORS_ABOUT_THEM
from weelo_workers.person.scrubbing import COMMANDS_WITH_PERSONAL_DATA
from weelo_workers.presence_sync import sync_after_commit

LOOK_AGAIN_AFTER = timedelta(seconds=1)
MOST_NAMED = 10
"""A rejection names at most this many open broadcasts, live assignments and open holds each."""


def begin(command: ErasePerson, uow: UnitOfWork, *, first: str) -> Erasure | None:
    """Insert and return the erasure. If commands of the person are waiting, return None, and this command continues later.

    `first`: the name of the first part of the erasure. Raises Rejected: NOT_FOUND for an unknown person,
    INVALID_TRANSITION while a broadcast, an assignment or a hold of the person is open.
    """
    person = command.person_id
    if not _is_known(uow.session, person):
        raise Rejected(Code.NOT_FOUND, "Nothing is stored about a user with this id.")
    # Commands that assign a truck lock its driver and its vehicle. While this transaction holds these locks, each such
    # command is either finished, and its assignment is found below, or it waits for a lock, and will then find the
    # driver off duty.
    vehicles = uow.session.scalars(select(Vehicle.id).where(Vehicle.transporter_id == person)).all()
    # Commands that assign a truck lock vehicles and drivers in the same order, so no deadlock is possible.
    uow.lock_in_order(Vehicle, vehicles, Driver, [person])
    # Waiting commands are searched for first. If one ends between the two queries, the second query finds what it has
    # created.
    waiting = select(exists().where(_is_waiting(person, uow.command_id)))
    if uow.session.scalar(waiting, {"person": person}):
        uow.continue_later(at=uow.now + LOOK_AGAIN_AFTER)
        return None
    if under_way := list(_under_way(uow.session, person)):
        raise Rejected(Code.INVALID_TRANSITION, " ".join(under_way), {"underWay": len(under_way)})
    _end_availability(uow, person)
    erasure = Erasure(
        command_id=uow.command_id,
        person_id=person,
        requested_at=uow.now,
        part=first,
        cursor=None,
        request_ids=[],
        changed={},
        finished_at=None,
    )
    uow.add(erasure)
    return erasure


def _is_known(session: Session, person: UUID) -> bool:
    places = (
        User.id,
        Transporter.id,
        Driver.id,
        LogHead.user_id,
        Vehicle.transporter_id,
        Driver.transporter_id,
        Device.user_id,
        Webhook.user_id,
        Broadcast.customer_id,
        Offer.transporter_id,
        Erasure.person_id,
    )
    return bool(session.scalar(select(or_(*(exists().where(column == person) for column in places)))))


def _is_waiting(person: UUID, own_command: UUID) -> ColumnElement[bool]:
    """Return the condition that a row is an unexecuted command which the person sent or which has the person's data."""
    names = bindparam("names", list(COMMANDS_WITH_PERSONAL_DATA), type_=ARRAY(Text()))
    mentions = MailboxRow.payload.cast(Text()).like(f"%{person}%")
    return and_(
        active(MailboxRow),
        MailboxRow.id != own_command,
        or_(
            MailboxRow.caller_id == person,
            and_(MailboxRow.name == any_(names), mentions),
            FROM_OPERATORS_ABOUT_THEM,
        ),
    )


def _under_way(session: Session, person: UUID) -> Iterator[str]:
    """Yield a sentence for each open broadcast, live assignment and open hold of the person: how it can end."""
    broadcasts = select(Broadcast.id, Broadcast.status).where(
        Broadcast.customer_id == person, Broadcast.status.in_(OPEN)
    )
    for row in session.execute(broadcasts.limit(MOST_NAMED)):
        yield f"Broadcast {row.id} is {row.status}: wait for its end, or have it cancelled."
    theirs = select(Broadcast.id).where(Broadcast.customer_id == person)
    assignments = select(Assignment.id, Assignment.status).where(
        Assignment.status.in_(LIVE),
        or_(
            Assignment.driver_id == person,
            Assignment.transporter_id == person,
            Assignment.broadcast_id.in_(theirs),
        ),
    )
    for row in session.execute(assignments.limit(MOST_NAMED)):
        yield f"Assignment {row.id} is {row.status}: wait for its end, or end it by POST /api/v1/assignments/{row.id}/end."
    holds = select(Hold.id).where(Hold.transporter_id == person, Hold.status == HoldStatus.OPEN)
    for hold_id in session.scalars(holds.limit(MOST_NAMED)):
        yield f"Hold {hold_id} is open: it ends by itself within a few minutes."


def _end_availability(uow: UnitOfWork, person: UUID) -> None:
    """Take the person off duty and offline, and disable their webhooks, so that they get nothing new to do or read."""
    session = uow.session
    session.execute(update(Driver).where(Driver.id == person).values(is_available=False))
    session.execute(
        update(Webhook)
        .where(Webhook.user_id == person)
        .values(
            is_active=False,
            disabled_reason=DisabledReason.OWNER,
            next_attempt_at=None,
            lease_token=None,
            lease_until=None,
        )
    )
    offline = update(Transporter).where(Transporter.id == person).values(is_available=False)
    if session.execute(offline.returning(Transporter.id)).first() is not None:
        sync_after_commit(uow, person)
