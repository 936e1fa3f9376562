"""Allocation of trucks to slots: a pure function, shared by all commands that assign trucks."""

from __future__ import annotations

from collections.abc import Sequence

from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.fleet_lock import wrong_kind
from weelo_workers.models import Driver, TruckRequest, Vehicle

Offered = tuple[Truck, Vehicle, Driver]
Allocation = tuple[TruckRequest, Vehicle, Driver]


def allocate(
    trucks: Sequence[Offered],
    slots: Sequence[TruckRequest],
    to_take: Sequence[TruckRequest],
    *,
    partial: bool,
) -> list[Allocation]:
    """Return each truck with the slot that it names, or else with the first open slot of its kind.

    `to_take`: the open slots.

    All trucks get a slot, or with `partial` as many as possible. Raises Rejected with the reason:
    TRUCK_REQUEST_NOT_FOUND, VEHICLE_TYPE_MISMATCH, REQUEST_ALREADY_TAKEN or NOT_ENOUGH_AVAILABLE.
    """
    free = list(to_take)
    remaining = {"remaining": sum(any(slot.fits(vehicle) for _, vehicle, _ in trucks) for slot in free)}
    allocations: list[Allocation] = []
    # Trucks that name a slot come first, so that no other truck is allocated to that slot.
    for truck, vehicle, driver in sorted(trucks, key=lambda offered: offered[0].truck_request_id is None):
        slot = _place_for(truck, vehicle, slots, free)
        if slot is not None:
            free.remove(slot)
            allocations.append((slot, vehicle, driver))
        elif not partial:
            alone = truck.truck_request_id is not None or len(trucks) == 1
            code = Code.REQUEST_ALREADY_TAKEN if alone else Code.NOT_ENOUGH_AVAILABLE
            raise Rejected(code, f"{remaining['remaining']} still open.", remaining)
    if not allocations:
        raise Rejected(Code.REQUEST_ALREADY_TAKEN, extra=remaining)
    return allocations


def _place_for(
    truck: Truck, vehicle: Vehicle, slots: Sequence[TruckRequest], free: Sequence[TruckRequest]
) -> TruckRequest | None:
    named = [slot for slot in slots if truck.truck_request_id in (None, slot.id)]
    if not named:
        raise Rejected(Code.TRUCK_REQUEST_NOT_FOUND)
    if not any(slot.fits(vehicle) for slot in named):
        raise wrong_kind(vehicle)
    return next((slot for slot in named if slot in free and slot.fits(vehicle)), None)
