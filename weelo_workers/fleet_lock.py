"""Locks vehicles and drivers of a fleet, so that no other command can assign them at the same time (ACPT-06)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Driver, Vehicle
from weelo_workers.queries.fleets import busy_among


def wrong_kind(vehicle: Vehicle) -> Rejected:
    """Return the rejection of a vehicle that does not fit the slot."""
    return Rejected(
        Code.VEHICLE_TYPE_MISMATCH,
        f"{vehicle.vehicle_number} is {vehicle.vehicle_type} {vehicle.vehicle_subtype}.",
        {"vehicleId": str(vehicle.id)},
    )


class FleetLock:
    """Locked vehicles and drivers of one transporter. Its methods raise Rejected if one cannot be assigned."""

    def __init__(
        self,
        uow: UnitOfWork,
        transporter_id: UUID,
        vehicle_ids: Sequence[UUID],
        driver_ids: Sequence[UUID],
    ) -> None:
        """Lock these rows. Called under the lock of the broadcast."""
        self._transporter_id = transporter_id
        vehicles, drivers = uow.lock_in_order(Vehicle, vehicle_ids, Driver, driver_ids)
        self._vehicles = {vehicle.id: vehicle for vehicle in vehicles}
        self._drivers = {driver.id: driver for driver in drivers}
        self._busy = busy_among(uow.session, self._vehicles.keys(), self._drivers.keys())

    def vehicle(self, vehicle_id: UUID) -> Vehicle:
        """Return the vehicle. Raises Rejected(VEHICLE_NOT_IN_FLEET)."""
        vehicle = self._vehicles.get(vehicle_id)
        if vehicle is None or vehicle.transporter_id != self._transporter_id:
            raise Rejected(Code.VEHICLE_NOT_IN_FLEET, extra={"vehicleId": str(vehicle_id)})
        return vehicle

    def driver(self, driver_id: UUID) -> Driver:
        """Return the driver. Raises Rejected(DRIVER_NOT_IN_FLEET)."""
        driver = self._drivers.get(driver_id)
        if driver is None or driver.transporter_id != self._transporter_id:
            raise Rejected(Code.DRIVER_NOT_IN_FLEET, extra={"driverId": str(driver_id)})
        return driver

    def ensure_free_vehicle(self, vehicle: Vehicle) -> None:
        """Raise Rejected(VEHICLE_BUSY) if the vehicle has a live assignment."""
        if vehicle.id in self._busy.vehicles:
            raise Rejected(Code.VEHICLE_BUSY, extra={"vehicleId": str(vehicle.id)})

    def ensure_free_driver(self, driver: Driver) -> None:
        """Raise Rejected(DRIVER_BUSY) if the driver is off duty or has a live assignment."""
        if not driver.is_available:
            raise Rejected(Code.DRIVER_BUSY, "The driver is off duty.", {"driverId": str(driver.id)})
        if driver.id in self._busy.drivers:
            raise Rejected(Code.DRIVER_BUSY, extra={"driverId": str(driver.id)})
