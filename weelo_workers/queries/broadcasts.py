"""Queries of broadcasts, offers and history. Rows that the reader may not see are treated as missing."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from weelo_workers import __version__
from weelo_workers.contracts.broadcasts import (
    BroadcastDetails,
    BroadcastView,
    TimelineEntry,
    TransitionDetails,
)
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.offers import ReleaseHold
from weelo_workers.contracts.relations import BLOCKS
from weelo_workers.contracts.statuses import (
    BroadcastKind,
    HoldStatus,
    Role,
    TransitionSubject,
    TruckRequestStatus,
)
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import (
    Assignment,
    Broadcast,
    Hold,
    Offer,
    TransitionRecord,
    TruckRequest,
)
from weelo_workers.models.base import is_in
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.views import assignment_view, broadcast_view

# `_find` reads whole rows as composite values. Tables have the method `table_valued` for this; models do not.
_BROADCAST_ROWS: Any = Broadcast.__table__
_SLOT_ROWS: Any = TruckRequest.__table__
_ASSIGNMENT_ROWS: Any = Assignment.__table__


@dataclass(frozen=True, slots=True)
class TaggedView:
    """A broadcast as its reader may see it, with the ETag of this view."""

    tag: str
    """Two views with the same tag are equal, except for their `serverTime`."""
    view: dict[str, Any] | None
    """None if the reader has the view of this tag already."""


def find(
    session: Session,
    broadcast_id: UUID,
    reader: Caller,
    kind: BroadcastKind | None = None,
    *,
    is_known: Callable[[str], bool] = lambda _: False,
) -> TaggedView | None:
    """Return one broadcast with the slots and assignments that the reader may see; None if they may not see it.

    `is_known`: a function that gets the tag of the view, and returns whether the reader already has the view with this
    tag. If so, no further rows are read.

    The tag is read first. If a row changes afterwards, the view may be newer than its tag. That is harmless: the next
    read has another tag, so the reader gets the view again.
    """
    statement = _find(reader.role)
    found = session.execute(
        statement, {"id": broadcast_id, "reader": reader.id, "outsider": reader.id}
    ).first()
    if found is None or (kind is not None and found.Broadcast.kind != kind):
        return None
    tag = hashlib.sha256(f"{_shape()} {reader.role} {reader.id} {found.rows}".encode()).hexdigest()[:32]
    if is_known(tag):
        return TaggedView(tag, None)
    [view] = _views(session, [found.Broadcast], reader)
    assignments = [assignment_view(each) for each in _assignments(session, broadcast_id, reader)]
    return TaggedView(tag, BroadcastDetails(**dict(view), assignments=assignments).json_dict())


@cache
def _shape() -> str:
    """Return a text that changes with the fields of the view, and with each version of this program."""
    return f"{__version__} {json.dumps(BroadcastDetails.model_json_schema(mode='serialization'))}"


@cache
def _find(role: Role) -> Select[Any, Any]:
    """Return the statement that reads a broadcast, with a hash of all rows from which a reader's view is made.

    The rows' contents are hashed. Numbers such as `xmin` would not do, because a restore changes them and PostgreSQL
    uses them again after a wraparound.
    """
    slots = select(_SLOT_ROWS.table_valued()).where(_SLOT_ROWS.c.broadcast_id == Broadcast.id)
    assignments = select(_ASSIGNMENT_ROWS.table_valued()).where(
        _ASSIGNMENT_ROWS.c.broadcast_id == Broadcast.id
    )
    if role in _OUTSIDERS:
        slots, assignments = slots.where(_SLOT_IS_VISIBLE), assignments.where(_IS_OWN_ASSIGNMENT)
    rows = func.row(
        _BROADCAST_ROWS.table_valued(),
        func.array(slots.order_by(_SLOT_ROWS.c.request_number).scalar_subquery()),
        func.array(assignments.order_by(*_ORDER_OF_ASSIGNMENTS).scalar_subquery()),
    )
    digest = func.encode(func.sha256(func.convert_to(cast(rows, Text), "UTF8")), "hex")
    return select(Broadcast, digest.label("rows")).where(Broadcast.id == bindparam("id"), _VISIBLE[role])


def current(session: Session, customer_id: UUID) -> dict[str, Any] | None:
    """Return the customer's open broadcast; None if there is none."""
    broadcast = session.scalar(
        select(Broadcast).where(Broadcast.customer_id == customer_id, Broadcast.status.in_(OPEN))
    )
    return _views(session, [broadcast])[0].json_dict() if broadcast else None


def has_open_broadcast(connection: Connection, customer_id: UUID) -> bool:
    """Return whether the customer has an open broadcast."""
    is_open = exists().where(Broadcast.customer_id == customer_id, is_in(Broadcast.status, OPEN))
    return bool(connection.scalar(select(is_open)))


def history(session: Session, customer_id: UUID, page_request: PageRequest) -> Page:
    """Return a page of the customer's broadcasts, newest first."""
    query = select(Broadcast).where(Broadcast.customer_id == customer_id)
    rows, next_cursor = page_request.apply(session, query, Broadcast.created_at, Broadcast.id)
    return Page(_views(session, rows), next_cursor)


def offered_with_slot(session: Session, truck_request_id: UUID, transporter_id: UUID) -> UUID | None:
    """Return the id of the slot's broadcast if it was offered to this transporter, else None."""
    return session.scalar(
        select(TruckRequest.broadcast_id)
        .join(Offer, Offer.broadcast_id == TruckRequest.broadcast_id)
        .where(TruckRequest.id == truck_request_id, Offer.transporter_id == transporter_id)
    )


def timeline(session: Session, broadcast_id: UUID, reader: Caller) -> list[dict[str, Any]] | None:
    """Return all transitions in order; None unless the reader is the customer or an admin.

    Only an admin gets the transitions of offers, because they contain the transporters' reasons for declining.
    """
    broadcast = session.get(Broadcast, broadcast_id)
    if broadcast is None or (reader.role is not Role.ADMIN and broadcast.customer_id != reader.id):
        return None
    records = session.scalars(
        select(TransitionRecord)
        .where(
            TransitionRecord.broadcast_id == broadcast_id,
            or_(literal(reader.role is Role.ADMIN), TransitionRecord.subject != TransitionSubject.OFFER),
        )
        .order_by(TransitionRecord.version, TransitionRecord.id)
    )
    return [
        TimelineEntry(
            at=record.at,
            occurred_at=record.occurred_at,
            subject=TransitionSubject(record.subject),
            subject_id=record.subject_id,
            transition=record.name,
            from_status=record.from_status,
            to_status=record.to_status,
            version=record.version,
            cause=_shown_cause(record, reader),
            command_id=record.command_id,
            actor_id=record.actor_id,
            details=TransitionDetails.model_validate(record.details),
        ).json_dict()
        for record in records
    ]


def _shown_cause(record: TransitionRecord, reader: Caller) -> str:
    """Return the command that caused the transition, as far as the reader may know it.

    A customer must not learn that a transporter has blocked them. A block releases the transporter's hold. This
    transition is shown as if the transporter had released the hold.
    """
    is_secret = record.cause in BLOCKS and reader.role is not Role.ADMIN and record.actor_id != reader.id
    return ReleaseHold.name if is_secret else record.cause


_OUTSIDERS = (Role.TRANSPORTER, Role.DRIVER)
"""The roles whose users see only a part of a broadcast."""

_READER = bindparam("reader", type_=Uuid())
_VISIBLE: dict[Role, ColumnElement[bool]] = {
    Role.ADMIN: Broadcast.id.is_not(None),
    Role.CUSTOMER: Broadcast.customer_id == _READER,
    Role.TRANSPORTER: or_(
        exists().where(
            Offer.broadcast_id == Broadcast.id,
            Offer.transporter_id == _READER,
            Offer.withdrawn_at.is_(None),
        ),
        # A fleet that has won a truck sees the broadcast even if its offer was withdrawn later.
        exists().where(Assignment.broadcast_id == Broadcast.id, Assignment.transporter_id == _READER),
    ),
    Role.DRIVER: exists().where(Assignment.broadcast_id == Broadcast.id, Assignment.driver_id == _READER),
}
_IS_OWN_ASSIGNMENT = or_(Assignment.transporter_id == _READER, Assignment.driver_id == _READER)
# Assignments that were made by one command have the same time, so they are also ordered by id.
_ORDER_OF_ASSIGNMENTS = (Assignment.created_at, Assignment.id)


def _assignments(session: Session, broadcast_id: UUID, reader: Caller) -> Sequence[Assignment]:
    """Return all assignments; for a transporter or a driver only their own."""
    query = _OWN_ASSIGNMENTS if reader.role in _OUTSIDERS else _ALL_ASSIGNMENTS
    return session.scalars(query, {"broadcast": broadcast_id, "reader": reader.id}).all()


_ALL_ASSIGNMENTS = (
    select(Assignment)
    .where(Assignment.broadcast_id == bindparam("broadcast"))
    .order_by(*_ORDER_OF_ASSIGNMENTS)
)
_OWN_ASSIGNMENTS = _ALL_ASSIGNMENTS.where(_IS_OWN_ASSIGNMENT)


def _views(
    session: Session, broadcasts: Sequence[Broadcast], reader: Caller | None = None
) -> list[BroadcastView]:
    outsider = reader.id if reader is not None and reader.role in _OUTSIDERS else None
    slots = _slots(session, broadcasts, outsider)
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return [broadcast_view(broadcast, slots[broadcast.id], now) for broadcast in broadcasts]


def _slots(
    session: Session, broadcasts: Sequence[Broadcast], outsider: UUID | None
) -> dict[UUID, list[TruckRequest]]:
    """Return the slots of each broadcast, by its id, in the order of their numbers.

    `outsider`: the transporter or driver for whom the slots are read. Slots that others have on hold are left out then.
    """
    query = _ALL_SLOTS if outsider is None else _SLOTS_FOR_OUTSIDER
    parameters = {"broadcasts": [each.id for each in broadcasts], "outsider": outsider}
    slots: dict[UUID, list[TruckRequest]] = defaultdict(list)
    for slot in session.scalars(query, parameters):
        slots[slot.broadcast_id].append(slot)
    return slots


_ALL_SLOTS = (
    select(TruckRequest)
    .where(TruckRequest.broadcast_id == any_(bindparam("broadcasts", type_=ARRAY(Uuid()))))
    .order_by(TruckRequest.request_number)
)


def slot_is_visible_to(outsider: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition that a slot is not on hold, or on hold for this transporter."""
    # Only open holds reserve slots; without this condition the query would read all past holds.
    own_holds = select(Hold.id).where(Hold.transporter_id == outsider, is_in(Hold.status, {HoldStatus.OPEN}))
    return or_(TruckRequest.status != TruckRequestStatus.HELD, TruckRequest.hold_id.in_(own_holds))


_SLOT_IS_VISIBLE = slot_is_visible_to(bindparam("outsider", type_=Uuid()))
_SLOTS_FOR_OUTSIDER = _ALL_SLOTS.where(_SLOT_IS_VISIBLE).execution_options(**prepared("read_visible_slots"))
