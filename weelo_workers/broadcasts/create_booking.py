"""A customer asks for N trucks of one kind."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from weelo_workers import moves
from weelo_workers.contracts.broadcasts import BroadcastView, CreateBooking, ExpireBroadcast, WidenBroadcast
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus, Kind, TruckRequestStatus
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.vehicle_key import vehicle_key
from weelo_workers.messaging.handling import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.queries.views import broadcast_view
from weelo_workers.settings import settings


@handles(CreateBooking)
def create_booking(command: CreateBooking, uow: UnitOfWork) -> BroadcastView:
    """Open a broadcast, unless the customer has an open one. A double tap is answered with the first tap's."""
    broadcast = _broadcast(command, uow.now)
    slots = _slots(command, broadcast, uow.now)
    while not _opened(uow, broadcast):
        existing = _open_broadcast(uow, command.customer_id)
        if existing is not None:
            return _same_or_refused(command, existing, uow)
        # The one in the way ended between our insert and this look: the way is free, try again.
    uow.add(*slots)
    uow.begin(broadcast, "create")
    moves.announce(uow, broadcast, slots)
    uow.send(WidenBroadcast(broadcast_id=broadcast.id, step=1))
    uow.send(ExpireBroadcast(broadcast_id=broadcast.id), at=broadcast.expires_at)
    uow.http_status = 201
    return broadcast_view(broadcast, slots, uow.now)


def _opened(uow: UnitOfWork, broadcast: Broadcast) -> bool:
    """Whether the database took it: one_open_broadcast_per_customer decides which of many taps was the first."""
    row = {column.key: getattr(broadcast, column.key) for column in Broadcast.__table__.columns}
    inserted = uow.session.scalar(
        insert(Broadcast).values(**row).on_conflict_do_nothing().returning(Broadcast.id)
    )
    return inserted is not None


def _open_broadcast(uow: UnitOfWork, customer_id: UUID) -> Broadcast | None:
    return uow.session.scalar(
        select(Broadcast).where(Broadcast.customer_id == customer_id, Broadcast.status.in_(OPEN))
    )


def _broadcast(command: CreateBooking, now: datetime) -> Broadcast:
    request = command.request
    return Broadcast(
        id=uuid4(),
        kind=Kind.BOOKING,
        customer_id=command.customer_id,
        status=BroadcastStatus.CREATED,
        state_changed_at=now,
        version=1,
        pickup=request.pickup.json_dict(),
        drop=request.drop.json_dict(),
        distance_km=request.distance_km,
        goods_type=request.goods_type,
        notes=request.notes,
        trucks_needed=request.trucks_needed,
        request=_as_asked(command),
        keyed=command.keyed,
        radius_step=0,
        radius_km=None,
        transporters_notified=0,
        expires_at=now + timedelta(seconds=settings().broadcast_timeout_seconds),
        created_at=now,
    )


def _as_asked(command: CreateBooking) -> dict[str, Any]:
    """Without defaults, so that the same request reads alike before and after a field is added."""
    return command.request.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _slots(command: CreateBooking, broadcast: Broadcast, now: datetime) -> list[TruckRequest]:
    request = command.request
    return [
        TruckRequest(
            id=uuid4(),
            broadcast_id=broadcast.id,
            request_number=number,
            vehicle_type=request.vehicle_type,
            vehicle_subtype=request.vehicle_subtype,
            vehicle_key=vehicle_key(request.vehicle_type, request.vehicle_subtype),
            price_per_truck=request.price_per_truck,
            status=TruckRequestStatus.SEARCHING,
            state_changed_at=now,
        )
        for number in range(1, request.trucks_needed + 1)
    ]


def _same_or_refused(command: CreateBooking, existing: Broadcast, uow: UnitOfWork) -> BroadcastView:
    """The customer has an open broadcast: is this the same tap again, or another wish?

    An Idempotency-Key says which requests are the same, and two keys are two wishes. Without a key
    the request itself says it (IDEM-03).
    """
    same = existing.request == _as_asked(command) and not (command.keyed and existing.keyed)
    if not same:
        raise Rejected(
            Code.ORDER_ACTIVE_EXISTS,
            "Request already in progress. Cancel it first.",
            {"activeBroadcastId": str(existing.id)},
        )
    uow.replayed = True
    uow.http_status = 201
    return broadcast_view(existing, moves.slots_of(uow, existing.id), uow.now)
