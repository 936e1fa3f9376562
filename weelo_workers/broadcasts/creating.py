"""Creation of a broadcast, shared by bookings and orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import select, text

from weelo_workers import broadcast_transitions
from weelo_workers.broadcasts.rings import offer_in_rings, search_rings
from weelo_workers.contracts.broadcasts import (
    BroadcastRequest,
    BroadcastView,
    CreateBooking,
    CreateOrder,
    ExpireBroadcast,
    TruckDemand,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus, TruckRequestStatus
from weelo_workers.contracts.vehicle_kinds import vehicle_key
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Broadcast, TruckRequest
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.policies import InForce, in_force
from weelo_workers.queries.views import broadcast_view, policy_ref
from weelo_workers.randomness import new_id

Creation = CreateBooking | CreateOrder


def open_broadcast(command: Creation, kind: BroadcastKind, uow: UnitOfWork) -> BroadcastView:
    """Create the broadcast and offer it in its first ring, or return the open one if this request repeats it.

    Raises Rejected(ORDER_ACTIVE_EXISTS).
    """
    broadcast = _broadcast(command, kind, uow.now, in_force(uow.session, command.request))
    slots = _slots(command.request.wanted(), broadcast)
    while not _opened(uow, broadcast, slots):
        existing = _open_broadcast(uow, command.customer_id)
        if existing is not None:
            return _same_or_refused(command, kind, existing, uow)
        # The conflicting broadcast has ended between the insert and this query, so the insert is tried again.
    uow.record_created(broadcast, "create", policy=policy_ref(broadcast).json_dict())
    broadcast_transitions.announce_state(uow, broadcast, slots)
    uow.send(ExpireBroadcast(broadcast_id=broadcast.id), at=broadcast.expires_at)
    offer_in_rings(uow, broadcast, slots, search_rings(uow, broadcast, slots, broadcast.next_step))
    uow.http_status = 201
    return broadcast_view(broadcast, slots, uow.now)


def _opened(uow: UnitOfWork, broadcast: Broadcast, slots: Sequence[TruckRequest]) -> bool:
    """Insert the rows; return False if the index one_open_broadcast_per_customer forbids it.

    A concurrent request of the same customer waits at this index until the first one has committed.
    """
    rows = {
        "broadcast": to_json(_columns(broadcast)).decode(),
        "slots": to_json([*map(_columns, slots)]).decode(),
    }
    return uow.session.scalar(_OPEN, rows) is not None


def _columns(row: Broadcast | TruckRequest) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def _names(model: type[Broadcast | TruckRequest]) -> str:
    return ", ".join(f'"{column.name}"' for column in model.__table__.columns)


_OPEN = text(f"""
    WITH opened AS (
      INSERT INTO broadcasts ({_names(Broadcast)})
      SELECT {_names(Broadcast)} FROM jsonb_populate_record(NULL::broadcasts, CAST(:broadcast AS jsonb))
          ON CONFLICT DO NOTHING
      RETURNING id
    ), slots AS (
      INSERT INTO truck_requests ({_names(TruckRequest)})
      SELECT {_names(TruckRequest)} FROM jsonb_populate_recordset(NULL::truck_requests, CAST(:slots AS jsonb))
       WHERE EXISTS (SELECT FROM opened)
    )
    SELECT id FROM opened
""").execution_options(**prepared("open_broadcast"))  # noqa: S608 (the names are those of our own columns)


def _open_broadcast(uow: UnitOfWork, customer_id: UUID) -> Broadcast | None:
    return uow.session.scalar(
        select(Broadcast).where(Broadcast.customer_id == customer_id, Broadcast.status.in_(OPEN))
    )


def _broadcast(command: Creation, kind: BroadcastKind, now: datetime, found: InForce) -> Broadcast:
    request = command.request
    return Broadcast(
        id=new_id(),
        kind=kind,
        customer_id=command.customer_id,
        status=BroadcastStatus.CREATED,
        state_changed_at=now,
        version=1,
        **_request_columns(request),
        trucks_needed=sum(trucks.quantity for trucks in request.wanted()),
        request=_as_asked(command),
        keyed=command.keyed,
        radius_step=0,
        radius_km=None,
        contracted_until=None,
        reoffer_rounds=0,
        transporters_notified=0,
        expires_at=now + timedelta(seconds=found.policy.broadcast_timeout_seconds),
        created_at=now,
        policy_settings=found.policy.to_json(),
        policy_scope=found.scope,
        policy_version=found.version,
    )


def _request_columns(request: BroadcastRequest) -> dict[str, Any]:
    """Return the fields of `BroadcastRequest` as values of the columns of the same names."""
    columns = {name: getattr(request, name) for name in BroadcastRequest.model_fields}
    return {**columns, "pickup": request.pickup.json_dict(), "drop": request.drop.json_dict()}


def _as_asked(command: Creation) -> dict[str, Any]:
    """Return the request without default values.

    It then equals a stored request with the same contents, even if a newer version has added fields since.
    """
    return command.request.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _slots(wanted: Sequence[TruckDemand], broadcast: Broadcast) -> list[TruckRequest]:
    trucks = [trucks for trucks in wanted for _ in range(trucks.quantity)]
    return [
        TruckRequest(
            id=new_id(),
            broadcast_id=broadcast.id,
            request_number=number,
            vehicle_type=truck.vehicle_type,
            vehicle_subtype=truck.vehicle_subtype,
            vehicle_key=vehicle_key(truck.vehicle_type, truck.vehicle_subtype),
            price_per_truck=truck.price_per_truck,
            status=TruckRequestStatus.SEARCHING,
            state_changed_at=broadcast.created_at,
        )
        for number, truck in enumerate(trucks, start=1)
    ]


def _same_or_refused(
    command: Creation, kind: BroadcastKind, existing: Broadcast, uow: UnitOfWork
) -> BroadcastView:
    """Return the customer's open broadcast if this request repeats it. Raises Rejected(ORDER_ACTIVE_EXISTS) otherwise.

    If both requests had an Idempotency-Key, their keys differ, so they are different requests: a repeated key is
    answered from the mailbox, and does not reach this handler. If one of them had no key, equal contents mean the same
    request (docs/promises.md, IDEM-03).
    """
    alike = existing.kind == kind and existing.request == _as_asked(command)
    same = alike and not (command.keyed and existing.keyed)
    if not same:
        raise Rejected(
            Code.ORDER_ACTIVE_EXISTS,
            "Request already in progress. Cancel it first.",
            {"activeBroadcastId": str(existing.id)},
        )
    uow.replayed = True
    uow.http_status = 201
    return broadcast_view(existing, broadcast_transitions.slots_of(uow, existing.id), uow.now)
