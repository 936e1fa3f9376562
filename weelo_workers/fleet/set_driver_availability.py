"""Handler: a driver goes on or off duty."""

from __future__ import annotations

from weelo_workers.contracts.fleet import DriverStatusChanged, DriverView, SetDriverAvailability
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.messaging.handlers import handles
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Driver
from weelo_workers.queries.views import driver_view


@handles(SetDriverAvailability)
def set_driver_availability(command: SetDriverAvailability, uow: UnitOfWork) -> DriverView:
    """Store whether the driver is on duty, and notify their transporter of a change.

    A trip that has begun continues. While the driver is off duty, no new trip can begin. Raises Rejected(NOT_FOUND) for
    an unknown driver.
    """
    driver = uow.lock(Driver, command.driver_id)
    if driver is None:
        raise Rejected(Code.NOT_FOUND, "No fleet has registered you as its driver.")
    if driver.is_available != command.is_available:
        driver.is_available = command.is_available
        uow.session.flush()
        uow.publish(
            DriverStatusChanged(driver_id=driver.id, is_online=driver.is_available),
            ToTransporter(transporter_id=driver.transporter_id),
        )
    return driver_view(driver)
