"""Converts rows to views of the contract, for outcomes, queries and events alike, so that their views never differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from weelo_workers.contracts.broadcasts import (
    BroadcastRequest,
    BroadcastView,
    RequestedVehicles,
    TruckRequestView,
)
from weelo_workers.contracts.fleet import DriverView, VehicleView
from weelo_workers.contracts.policies import PolicyRef
from weelo_workers.contracts.reasons import stored_code
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastKind,
    BroadcastStatus,
    TruckRequestStatus,
    VehicleStatus,
)
from weelo_workers.contracts.trips import AssignmentView
from weelo_workers.contracts.vehicle_kinds import (
    CatalogueNames,
    VehicleKind,
    VehicleKindView,
    catalogue_names,
)
from weelo_workers.contracts.wire import Place
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.models import Assignment, Broadcast, Driver, TruckRequest, Vehicle
from weelo_workers.queries.slots import filled


def broadcast_header(broadcast: Broadcast) -> dict[str, Any]:
    """Return the fields that every event about a broadcast has."""
    return {
        "broadcast_id": broadcast.id,
        "kind": BroadcastKind(broadcast.kind),
        "status": BroadcastStatus(broadcast.status),
        "state_changed_at": broadcast.state_changed_at,
        "version": broadcast.version,
    }


def request_fields(broadcast: Broadcast) -> dict[str, Any]:
    """Return the fields of `BroadcastRequest`, from the broadcast's columns of the same names.

    A view or an event ignores the fields that it does not declare.
    """
    fields = {name: getattr(broadcast, name) for name in BroadcastRequest.model_fields}
    return {**fields, "pickup": place(broadcast.pickup), "drop": place(broadcast.drop)}


def place(stored: dict[str, Any]) -> Place:
    return Place.model_validate(stored, strict=False, extra="ignore")


def broadcast_view(broadcast: Broadcast, slots: Sequence[TruckRequest], now: datetime) -> BroadcastView:
    this = broadcast.id
    return BroadcastView(
        id=this,
        booking_id=this if broadcast.kind == BroadcastKind.BOOKING else None,
        order_id=this if broadcast.kind == BroadcastKind.ORDER else None,
        kind=BroadcastKind(broadcast.kind),
        status=BroadcastStatus(broadcast.status),
        state_changed_at=broadcast.state_changed_at,
        version=broadcast.version,
        customer_id=broadcast.customer_id,
        **request_fields(broadcast),
        trucks_needed=broadcast.trucks_needed,
        trucks_filled=filled(slots),
        truck_requests=[truck_request_view(slot) for slot in slots],
        radius_km=broadcast.reach.limit_km,
        transporters_notified=broadcast.transporters_notified,
        policy=policy_ref(broadcast),
        expires_at=broadcast.expires_at,
        created_at=broadcast.created_at,
        server_time=now,
    )


def policy_ref(broadcast: Broadcast) -> PolicyRef:
    """Return the policy with which the broadcast began. Version 0 of `default` stands for the settings of the environment."""
    return PolicyRef(scope=broadcast.policy_scope or DEFAULT_SCOPE, version=broadcast.policy_version or 0)


def truck_request_view(slot: TruckRequest) -> TruckRequestView:
    kind = _kind_of(slot)
    return TruckRequestView(
        id=slot.id,
        request_number=slot.request_number,
        vehicle_type=kind.vehicle_type,
        vehicle_subtype=kind.vehicle_subtype,
        vehicle_key=kind.vehicle_key,
        price_per_truck=slot.price_per_truck,
        status=TruckRequestStatus(slot.status),
    )


def requested_vehicles(slots: Iterable[TruckRequest]) -> list[RequestedVehicles]:
    """Return the slots grouped by kind and price, in the customer's order."""
    groups: dict[tuple[CatalogueNames, int | None], int] = {}
    for slot in slots:
        asked = (_kind_of(slot), slot.price_per_truck)
        groups[asked] = groups.get(asked, 0) + 1
    return [
        RequestedVehicles(
            vehicle_type=kind.vehicle_type,
            vehicle_subtype=kind.vehicle_subtype,
            vehicle_key=kind.vehicle_key,
            count=count,
            price_per_truck=price,
        )
        for (kind, price), count in groups.items()
    ]


def _kind_of(row: TruckRequest | Vehicle) -> CatalogueNames:
    return catalogue_names(row.vehicle_key, row.vehicle_type, row.vehicle_subtype)


def assignment_view(assignment: Assignment) -> AssignmentView:
    pending = assignment.status == AssignmentStatus.PENDING
    return AssignmentView(
        id=assignment.id,
        trip_id=assignment.trip_id,
        broadcast_id=assignment.broadcast_id,
        truck_request_id=assignment.truck_request_id,
        transporter_id=assignment.transporter_id,
        driver_id=assignment.driver_id,
        vehicle_id=assignment.vehicle_id,
        vehicle_number=assignment.vehicle_number,
        status=AssignmentStatus(assignment.status),
        reason_code=stored_code(assignment.reason_code),
        expires_at=assignment.expires_at if pending else None,
        created_at=assignment.created_at,
        state_changed_at=assignment.state_changed_at,
    )


def vehicle_view(vehicle: Vehicle, *, busy: bool) -> VehicleView:
    kind = _kind_of(vehicle)
    return VehicleView(
        id=vehicle.id,
        vehicle_number=vehicle.vehicle_number,
        vehicle_type=kind.vehicle_type,
        vehicle_subtype=kind.vehicle_subtype,
        vehicle_key=kind.vehicle_key,
        capacity_kg=vehicle.capacity_kg,
        status=VehicleStatus.ON_TRIP if busy else VehicleStatus.AVAILABLE,
    )


def vehicle_kind_view(kind: VehicleKind) -> VehicleKindView:
    return VehicleKindView(
        vehicle_type=kind.vehicle_type,
        vehicle_subtype=kind.vehicle_subtype,
        label=kind.label,
        key=kind.key,
        capacity_kg=kind.capacity_kg,
    )


def driver_view(driver: Driver) -> DriverView:
    return DriverView(id=driver.id, name=driver.name, phone=driver.phone, is_available=driver.is_available)
