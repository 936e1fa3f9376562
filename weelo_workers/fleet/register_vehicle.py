"""Handler: a transporter registers a vehicle, or corrects its details."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.broadcasts import CatchUp
from weelo_workers.contracts.fleet import RegisterVehicle, VehicleView
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.vehicle_kinds import vehicle_key
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Transporter, Vehicle
from weelo_workers.presence_sync import sync_after_commit
from weelo_workers.queries.fleets import busy_among
from weelo_workers.queries.views import vehicle_view
from weelo_workers.randomness import new_id


@handles(RegisterVehicle)
def register_vehicle(command: RegisterVehicle, uow: UnitOfWork) -> VehicleView:
    """Insert (201) or update (200) the vehicle with this number.

    Raises Rejected: VEHICLE_EXISTS if it is another fleet's, VEHICLE_BUSY if its kind would change during a trip.
    """
    details = command.details
    plate = command.vehicle_number.replace(" ", "").replace("-", "")
    described = {
        "vehicle_type": details.vehicle_type,
        "vehicle_subtype": details.vehicle_subtype,
        "vehicle_key": vehicle_key(details.vehicle_type, details.vehicle_subtype),
        "capacity_kg": details.capacity_kg,
    }
    new = uow.session.scalar(
        insert(Vehicle)
        .values(
            id=new_id(),
            transporter_id=command.transporter_id,
            vehicle_number=command.vehicle_number,
            plate=plate,
            created_at=uow.now,
            **described,
        )
        .on_conflict_do_nothing()
        .returning(Vehicle.id)
    )
    vehicle = uow.session.scalars(select(Vehicle).where(Vehicle.plate == plate).with_for_update()).one()
    if vehicle.transporter_id != command.transporter_id:
        raise Rejected(Code.VEHICLE_EXISTS)
    busy = bool(busy_among(uow.session, [vehicle.id]).vehicles)
    if busy and described["vehicle_key"] != vehicle.vehicle_key:
        raise Rejected(Code.VEHICLE_BUSY, "A vehicle under way cannot become another kind.")
    for column, value in described.items():
        setattr(vehicle, column, value)
    uow.session.flush()
    sync_after_commit(uow, command.transporter_id, heard=True)
    if _wants_work(uow, command.transporter_id):
        uow.send(CatchUp(transporter_id=command.transporter_id))
    uow.http_status = 201 if new else 200
    return vehicle_view(vehicle, busy=busy)


def _wants_work(uow: UnitOfWork, transporter_id: UUID) -> bool:
    """Return whether the transporter wants work.

    The transporter's row is locked, so that a transaction that takes the transporter online waits for this one. It then
    finds the new vehicle.
    """
    row = insert(Transporter).values(id=transporter_id)
    locked = row.on_conflict_do_update(index_elements=["id"], set_={"id": transporter_id})
    return bool(uow.session.scalar(locked.returning(Transporter.is_available)))
