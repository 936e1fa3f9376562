"""Handler: a transporter adds a driver to the fleet, or corrects their details."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from weelo_workers.contracts.fleet import DriverView, RegisterDriver
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Driver
from weelo_workers.queries.views import driver_view


@handles(RegisterDriver)
def register_driver(command: RegisterDriver, uow: UnitOfWork) -> DriverView:
    """Insert (201) or update (200) the driver. Raises Rejected(DRIVER_EXISTS) for a driver of another fleet."""
    new = uow.session.scalar(
        insert(Driver)
        .values(
            id=command.driver_id,
            transporter_id=command.transporter_id,
            created_at=uow.now,
            **command.details.model_dump(),
        )
        .on_conflict_do_nothing()
        .returning(Driver.id)
    )
    driver = uow.session.scalars(select(Driver).where(Driver.id == command.driver_id).with_for_update()).one()
    if driver.transporter_id != command.transporter_id:
        raise Rejected(Code.DRIVER_EXISTS)
    for column, value in command.details.model_dump().items():
        setattr(driver, column, value)
    uow.session.flush()
    uow.http_status = 201 if new else 200
    return driver_view(driver)
