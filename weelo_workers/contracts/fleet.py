"""The contract of fleets: transporters, their vehicles, drivers and devices, and whether they want work."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.statuses import Platform
from weelo_workers.contracts.vehicle_kinds import KindName
from weelo_workers.contracts.wire import Latitude, Longitude, Request, ShortText, Timestamp, Wire

VehicleNumber = Annotated[
    str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9 \-]{2,19}$")
]
Phone = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9 \-]{5,18}$")]

# More changes of the availability come from a stuck button or a script.
MAX_CHANGES = 10
CHANGES_WINDOW_SECONDS = 300

# --- requests -------------------------------------------------------------------------------------------


class VehicleDetails(Request):
    vehicle_type: ShortText
    vehicle_subtype: KindName
    capacity_kg: Annotated[int, Field(ge=0, le=200_000)] | None = None


class DriverDetails(Request):
    name: ShortText
    phone: Phone
    license_number: ShortText | None = None


class Availability(Request):
    is_available: bool


class Heartbeat(Request):
    latitude: Latitude
    longitude: Longitude


class DeviceDetails(Request):
    platform: Literal["android", "ios"]


# --- commands -------------------------------------------------------------------------------------------


class RegisterVehicle(Command, name="fleet.register_vehicle"):
    transporter_id: UUID
    vehicle_number: str
    details: VehicleDetails


class RegisterDriver(Command, name="fleet.register_driver"):
    transporter_id: UUID
    driver_id: UUID
    details: DriverDetails


class SetAvailability(Command, name="fleet.set_availability"):
    transporter_id: UUID
    is_available: bool


class SetDriverAvailability(Command, name="fleet.set_driver_availability"):
    driver_id: UUID
    is_available: bool


class RegisterDevice(Command, name="fleet.register_device"):
    user_id: UUID
    token: str
    platform: str


class ForgetDevice(Command, name="fleet.forget_device"):
    user_id: UUID
    token: str


class SyncPresence(Command, name="fleet.sync_presence", batched=True):
    """Update presence after a fleet's availability or free trucks changed.

    `heard`: the transporter's app has just sent something.

    The worker that made the change also updates presence itself, after its commit. This command repeats the update,
    because it may have been lost.
    """

    transporter_id: UUID
    heard: bool = False


# --- events ---------------------------------------------------------------------------------------------


class DriverStatusChanged(Event, to=ToTransporter):
    """A driver went on or off duty. Sent to the driver's transporter."""

    driver_id: UUID
    is_online: bool


# --- views ----------------------------------------------------------------------------------------------


class VehicleView(Wire):
    id: UUID
    vehicle_number: str
    vehicle_type: str
    vehicle_subtype: str
    vehicle_key: str
    capacity_kg: int | None
    status: str


class DriverView(Wire):
    id: UUID
    name: str
    phone: str
    is_available: bool


class AvailabilityView(Wire):
    is_available: bool
    changed_at: Timestamp | None


class DeviceView(Wire):
    token: str
    platform: Platform


class ForgottenView(Wire):
    token: str
    forgotten: bool = True
