"""A transporter's list of open offers, which every app of a transporter reads again and again.

One query reads a page. Its rows become JSON without models, which would cost most of the time of such a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    Uuid,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.contracts.vehicle_kinds import catalogue_names
from weelo_workers.contracts.wire import rfc3339, two_decimals
from weelo_workers.lifecycles import truck_request
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.models import Broadcast, Offer, TruckRequest, Vehicle, slots_given_back, vehicle_busy
from weelo_workers.models.base import is_in
from weelo_workers.models.broadcasts import reach_limit_km
from weelo_workers.queries.broadcasts import slot_is_visible_to
from weelo_workers.queries.pages import Page, PageRequest, paged


def offers(session: Session | Connection, transporter_id: UUID, page_request: PageRequest) -> Page:
    """Return a page of the open offers that this transporter has not declined, newest first.

    Each item is an `OfferView` as JSON. Slots that others have on hold are left out.
    """
    rows, next_cursor = page_request.run(session, _OPEN_OFFERS, {"transporter": transporter_id})
    now = rfc3339(rows[0].now) if rows else ""
    return Page([_item(row, now) for row in rows], next_cursor)


def _item(row: Any, now: str) -> dict[str, Any]:
    """Return the JSON of the `OfferView` of a row. `now`: the server's time."""
    slots = row.slots
    return {
        "broadcastId": row.id,
        "broadcast": _broadcast(row, now),
        "truckRequestIds": [
            slot["id"]
            for slot in slots
            if slot["status"] in truck_request.OPEN
            and slot["vehicleKey"] in row.free_kinds
            and slot["id"] not in row.gave_back
        ],
        "pickupDistanceKm": _kilometres(row.offered_km),
        "radiusStep": row.step,
        "offeredAt": rfc3339(row.offered_at),
    }


def _broadcast(row: Any, now: str) -> dict[str, Any]:
    """Return what `views.broadcast_view` returns, as JSON. A test compares them."""
    slots = row.slots
    for slot in slots:
        names = catalogue_names(slot["vehicleKey"], slot["vehicleType"], slot["vehicleSubtype"])
        slot["vehicleType"], slot["vehicleSubtype"] = names.vehicle_type, names.vehicle_subtype
    return {
        "id": row.id,
        "kind": row.kind,
        "status": row.status,
        "stateChangedAt": rfc3339(row.state_changed_at),
        "version": row.version,
        "customerId": row.customer_id,
        "pickup": _place(row.pickup),
        "drop": _place(row.drop),
        "distanceKm": _kilometres(row.distance_km),
        "goodsType": row.goods_type,
        "notes": row.notes,
        "trucksNeeded": row.trucks_needed,
        "trucksFilled": sum(slot["status"] in truck_request.FILLED for slot in slots),
        "truckRequests": slots,
        "radiusKm": _kilometres(row.reach_km),
        "transportersNotified": row.transporters_notified,
        "policy": {"scope": row.policy_scope, "version": row.policy_version},
        "expiresAt": rfc3339(row.expires_at),
        "createdAt": rfc3339(row.created_at),
        "serverTime": now,
        "bookingId" if row.kind == BroadcastKind.BOOKING else "orderId": row.id,
    }


def _place(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Place`, without others that another version of this program may have stored."""
    return {name: stored[name] for name in ("latitude", "longitude", "address")}


def _kilometres(km: float | None) -> float | None:
    return None if km is None else two_decimals(km)


def _constant(text: str) -> ColumnElement[str]:
    return literal_column(f"'{text}'")


_TRANSPORTER = bindparam("transporter", type_=Uuid())
_GAVE_BACK = slots_given_back(Broadcast.id, _TRANSPORTER).correlate(Broadcast)
_OPEN_FOR_FLEET = (
    select(TruckRequest.id)
    .where(
        TruckRequest.broadcast_id == Broadcast.id,
        is_in(TruckRequest.status, truck_request.OPEN),
        TruckRequest.id.not_in(_GAVE_BACK),
    )
    .correlate(Broadcast)
)
_SLOT: list[tuple[str, InstrumentedAttribute[Any]]] = [
    ("id", TruckRequest.id),
    ("requestNumber", TruckRequest.request_number),
    ("vehicleType", TruckRequest.vehicle_type),
    ("vehicleSubtype", TruckRequest.vehicle_subtype),
    ("vehicleKey", TruckRequest.vehicle_key),
    ("pricePerTruck", TruckRequest.price_per_truck),
    ("status", TruckRequest.status),
]
_SLOT_AS_JSON = func.json_build_object(*chain.from_iterable((_constant(name), each) for name, each in _SLOT))
_SLOTS = (
    select(func.json_agg(aggregate_order_by(_SLOT_AS_JSON, TruckRequest.request_number), type_=JSONB))
    .where(TruckRequest.broadcast_id == Broadcast.id, slot_is_visible_to(_TRANSPORTER))
    .correlate(Broadcast)
    .scalar_subquery()
)
_OPEN_OFFERS = paged(
    select(
        # Ids are read as text, because they are only written into JSON.
        cast(Broadcast.id, Text).label("id"),
        cast(Broadcast.customer_id, Text).label("customer_id"),
        Broadcast.kind,
        Broadcast.status,
        Broadcast.state_changed_at,
        Broadcast.version,
        Broadcast.pickup,
        Broadcast.drop,
        Broadcast.distance_km,
        Broadcast.goods_type,
        Broadcast.notes,
        Broadcast.trucks_needed,
        reach_limit_km().label("reach_km"),
        Broadcast.transporters_notified,
        func.coalesce(Broadcast.policy_scope, _constant(DEFAULT_SCOPE)).label("policy_scope"),
        func.coalesce(Broadcast.policy_version, literal_column("0")).label("policy_version"),
        Broadcast.expires_at,
        Broadcast.created_at,
        func.coalesce(_SLOTS, _constant("[]"), type_=JSONB).label("slots"),
        Offer.broadcast_id,
        Offer.distance_km.label("offered_km"),
        Offer.step,
        Offer.offered_at,
        func.array(
            select(Vehicle.vehicle_key)
            .where(Vehicle.transporter_id == _TRANSPORTER, ~vehicle_busy)
            .distinct()
            .scalar_subquery()
        ).label("free_kinds"),
        func.array(
            _GAVE_BACK.with_only_columns(cast(_GAVE_BACK.selected_columns[0], Text)).scalar_subquery()
        ).label("gave_back"),
        func.clock_timestamp().label("now"),
    )
    .join(Offer, Offer.broadcast_id == Broadcast.id)
    .where(
        Offer.transporter_id == _TRANSPORTER,
        Offer.declined_at.is_(None),
        is_in(Broadcast.status, OPEN),
        Broadcast.expires_at > func.clock_timestamp(),
        or_(~exists(_GAVE_BACK), exists(_OPEN_FOR_FLEET)),
    ),
    Offer.offered_at,
    Offer.broadcast_id,
    name="read_open_offers",
)
