"""Locks vehicles and drivers of a fleet, so that no other command can assign them at the same time (ACPT-06)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, case, false, or_, select
from sqlalchemy.orm import aliased

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.unit_of_work import AS_IT_IS_NOW, LOCKED_AT, UnitOfWork, locking_in_order
from weelo_workers.models import Driver, Vehicle
from weelo_workers.models.prepared import prepared
from weelo_workers.models.trips import driver_is_busy, vehicle_is_busy
from weelo_workers.queries.open_offers import keeps_out_others


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
        fills: UUID | None = None,
    ) -> None:
        """Lock these vehicles and drivers. Called under the lock of the broadcast.

        `fills`: the id of the broadcast if these trucks may fill it, otherwise None. If it is given, the attribute
        `keeps_out_others` is read in the same round trip, after the locks.
        """
        self._transporter_id = transporter_id
        self.keeps_out_others: bool | None = None
        """The result of `open_offers.keeps_out_any` for `fills`; None if it was not read."""
        parameters = {"ids": list(vehicle_ids), "then": list(driver_ids), "fills": fills, "now": uow.now}
        found = uow.session.execute(_FLEET, parameters, execution_options=AS_IT_IS_NOW).all()
        self._vehicles: dict[UUID, Vehicle] = {}
        self._drivers: dict[UUID, Driver] = {}
        self._busy: set[UUID] = set()
        for vehicle, driver, is_busy, keeps_out, now in found:
            row = vehicle or driver
            if row is vehicle:
                self._vehicles[row.id] = row
            else:
                self._drivers[row.id] = row
            if is_busy:
                self._busy.add(row.id)
            uow.note_locked(now, row)
            self.keeps_out_others = keeps_out

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
        if vehicle.id in self._busy:
            raise Rejected(Code.VEHICLE_BUSY, extra={"vehicleId": str(vehicle.id)})

    def ensure_free_driver(self, driver: Driver) -> None:
        """Raise Rejected(DRIVER_BUSY) if the driver is off duty or has a live assignment."""
        if not driver.is_available:
            raise Rejected(Code.DRIVER_BUSY, "The driver is off duty.", {"driverId": str(driver.id)})
        if driver.id in self._busy:
            raise Rejected(Code.DRIVER_BUSY, extra={"driverId": str(driver.id)})


# The query `_FLEET` returns a row for each vehicle and a row for each driver. Another query takes the locks before it.
# So `_FLEET` sees what was committed while the locks were awaited: assignments, and transporters whom other broadcasts
# passed over.
_VEHICLE = aliased(
    Vehicle, select(Vehicle).where(Vehicle.id == any_(bindparam("ids", type_=ARRAY(Uuid())))).subquery()
)
_DRIVER = aliased(
    Driver, select(Driver).where(Driver.id == any_(bindparam("then", type_=ARRAY(Uuid())))).subquery()
)
_FILLS = bindparam("fills", type_=Uuid())
_FLEET = (
    select(
        _VEHICLE,
        _DRIVER,
        or_(vehicle_is_busy(_VEHICLE), driver_is_busy(_DRIVER)),
        case((_FILLS.is_not(None), keeps_out_others(_FILLS))),
        LOCKED_AT,
    )
    .select_from(_VEHICLE)
    .join(_DRIVER, false(), full=True)
    .execution_options(**prepared("read_trucks", after=locking_in_order(Vehicle, Driver)))
)
