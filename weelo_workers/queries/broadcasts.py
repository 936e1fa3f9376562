"""Queries of broadcasts, offers and history. Rows that the reader may not see are treated as missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from weelo_workers.contracts.broadcasts import BroadcastDetails, BroadcastView, TimelineEntry
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.offers import OfferView
from weelo_workers.contracts.statuses import BroadcastKind, HoldStatus, Role, TruckRequestStatus
from weelo_workers.lifecycles import truck_request
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import Assignment, Broadcast, Hold, Offer, TransitionRecord, TruckRequest
from weelo_workers.queries.fleets import free_trucks
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.slots import kinds_of
from weelo_workers.queries.views import assignment_view, broadcast_view


def find(
    session: Session, broadcast_id: UUID, reader: Caller, kind: BroadcastKind | None = None
) -> dict[str, Any] | None:
    """Return one broadcast with its slots and the assignments that the reader may see; None if they may not see it."""
    query = select(Broadcast).where(Broadcast.id == broadcast_id, _visible_to(reader))
    if kind is not None:
        query = query.where(Broadcast.kind == kind)
    broadcast = session.scalar(query)
    if broadcast is None:
        return None
    [view] = _views(session, [broadcast], reader)
    assignments = [assignment_view(each) for each in _assignments(session, broadcast.id, reader)]
    return BroadcastDetails(**dict(view), assignments=assignments).json_dict()


def current(session: Session, customer_id: UUID) -> dict[str, Any] | None:
    """Return the customer's open broadcast; None if there is none."""
    broadcast = session.scalar(
        select(Broadcast).where(Broadcast.customer_id == customer_id, Broadcast.status.in_(OPEN))
    )
    return _views(session, [broadcast])[0].json_dict() if broadcast else None


def history(session: Session, customer_id: UUID, page_request: PageRequest) -> Page:
    """Return a page of the customer's broadcasts, newest first."""
    query = select(Broadcast).where(Broadcast.customer_id == customer_id)
    rows, next_cursor = page_request.apply(session, query, Broadcast.created_at, Broadcast.id)
    return Page([view.json_dict() for view in _views(session, rows)], next_cursor)


def offers(session: Session, transporter_id: UUID, page_request: PageRequest) -> Page:
    """Return a page of the open offers that this transporter has not declined, newest first."""
    query = (
        select(Offer)
        .join(Broadcast, Broadcast.id == Offer.broadcast_id)
        .where(
            Offer.transporter_id == transporter_id,
            Offer.declined_at.is_(None),
            Broadcast.status.in_(OPEN),
            Broadcast.expires_at > func.clock_timestamp(),
        )
    )
    rows, next_cursor = page_request.apply(session, query, Offer.offered_at, Offer.broadcast_id)
    broadcasts = list(
        session.scalars(select(Broadcast).where(Broadcast.id.in_([o.broadcast_id for o in rows])))
    )
    slots = _slots(session, broadcasts, transporter_id)
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    views = {each.id: broadcast_view(each, slots[each.id], now) for each in broadcasts}
    everything = [slot for of_one in slots.values() for slot in of_one]
    kinds = set(free_trucks(session, transporter_id, kinds_of(everything)))
    items = [
        OfferView(
            broadcast_id=offer.broadcast_id,
            broadcast=views[offer.broadcast_id],
            truck_request_ids=[
                slot.id
                for slot in slots[offer.broadcast_id]
                if slot.status in truck_request.OPEN and slot.vehicle_key in kinds
            ],
            pickup_distance_km=offer.distance_km,
            radius_step=offer.step,
            offered_at=offer.offered_at,
        ).json_dict()
        for offer in rows
    ]
    return Page(items, next_cursor)


def offered_with_slot(session: Session, truck_request_id: UUID, transporter_id: UUID) -> UUID | None:
    """Return the id of the slot's broadcast if it was offered to this transporter, else None."""
    return session.scalar(
        select(TruckRequest.broadcast_id)
        .join(Offer, Offer.broadcast_id == TruckRequest.broadcast_id)
        .where(TruckRequest.id == truck_request_id, Offer.transporter_id == transporter_id)
    )


def timeline(session: Session, broadcast_id: UUID, reader: Caller) -> list[dict[str, Any]] | None:
    """Return all transitions in order; None unless the reader is the customer or an admin."""
    broadcast = session.get(Broadcast, broadcast_id)
    if broadcast is None or (reader.role is not Role.ADMIN and broadcast.customer_id != reader.id):
        return None
    records = session.scalars(
        select(TransitionRecord)
        .where(TransitionRecord.broadcast_id == broadcast_id)
        .order_by(TransitionRecord.version, TransitionRecord.id)
    )
    return [
        TimelineEntry(
            at=record.at,
            subject=record.subject,
            subject_id=record.subject_id,
            transition=record.name,
            from_status=record.from_status,
            to_status=record.to_status,
            version=record.version,
            cause=record.cause,
            command_id=record.command_id,
            actor_id=record.actor_id,
            details=record.details,
        ).json_dict()
        for record in records
    ]


def _visible_to(reader: Caller) -> ColumnElement[bool]:
    match reader.role:
        case Role.ADMIN:
            return Broadcast.id.is_not(None)
        case Role.CUSTOMER:
            return Broadcast.customer_id == reader.id
        case Role.TRANSPORTER:
            return exists().where(Offer.broadcast_id == Broadcast.id, Offer.transporter_id == reader.id)
        case Role.DRIVER:
            return exists().where(Assignment.broadcast_id == Broadcast.id, Assignment.driver_id == reader.id)


def _assignments(session: Session, broadcast_id: UUID, reader: Caller) -> Sequence[Assignment]:
    """Return all assignments; for a transporter or a driver only their own."""
    query = select(Assignment).where(Assignment.broadcast_id == broadcast_id).order_by(Assignment.created_at)
    if reader.role in (Role.TRANSPORTER, Role.DRIVER):
        query = query.where(or_(Assignment.transporter_id == reader.id, Assignment.driver_id == reader.id))
    return session.scalars(query).all()


def _views(
    session: Session, broadcasts: Sequence[Broadcast], reader: Caller | None = None
) -> list[BroadcastView]:
    outsider = reader.id if reader is not None and reader.role in (Role.TRANSPORTER, Role.DRIVER) else None
    slots = _slots(session, broadcasts, outsider)
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return [broadcast_view(broadcast, slots[broadcast.id], now) for broadcast in broadcasts]


def _slots(
    session: Session, broadcasts: Sequence[Broadcast], outsider: UUID | None
) -> dict[UUID, list[TruckRequest]]:
    """Return the slots by broadcast, ordered by number. `outsider`: leave out slots that others have on hold."""
    query = select(TruckRequest).where(TruckRequest.broadcast_id.in_([each.id for each in broadcasts]))
    if outsider is not None:
        # Only open holds reserve slots; without the condition the query would read all past holds.
        own = select(Hold.id).where(Hold.transporter_id == outsider, Hold.status == HoldStatus.OPEN)
        query = query.where(
            or_(TruckRequest.status != TruckRequestStatus.HELD, TruckRequest.hold_id.in_(own))
        )
    slots: dict[UUID, list[TruckRequest]] = defaultdict(list)
    for slot in session.scalars(query.order_by(TruckRequest.request_number)):
        slots[slot.broadcast_id].append(slot)
    return slots
