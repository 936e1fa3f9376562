"""The contract of fleets: transporters, their vehicles, drivers and devices, and whether they want work."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from weelo_workers.contracts.command import Audit, Command
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import ToTransporter
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import Platform, VehicleStatus
from weelo_workers.contracts.vehicle_kinds import (
    KindName,
    TypeName,
    VehicleKey,
    VehicleSubtype,
    VehicleType,
)
from weelo_workers.contracts.wire import (
    DriverId,
    Latitude,
    Longitude,
    Request,
    ShortText,
    Timestamp,
    VehicleId,
    VehicleNumberText,
    Wire,
)

VehicleNumber = Annotated[
    str,
    StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9 \-]{2,19}$"),
    Field(
        description="The registration number of the vehicle. Upper and lower case are the same.",
        examples=["HR55X1234"],
    ),
]
Phone = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9 \-]{5,18}$"),
    Field(description="The driver's telephone number.", examples=["+91 98100 00000"]),
]
CapacityKg = Annotated[
    int, Field(description="The load that the vehicle can carry, in kg; null if not known.", examples=[5000])
]

# A transporter may change the availability MAX_CHANGES times in CHANGES_WINDOW_SECONDS. Only a stuck button or a script
# causes more changes.
MAX_CHANGES = 10
CHANGES_WINDOW_SECONDS = 300

# --- requests -------------------------------------------------------------------------------------------


class VehicleDetails(Request):
    """The kind of a vehicle, and what it can carry."""

    vehicle_type: TypeName
    vehicle_subtype: KindName
    capacity_kg: Annotated[int, Field(ge=0, le=200_000, examples=[5000])] | None = None
    """The load that the vehicle can carry, in kg."""


class DriverDetails(Request):
    """The details of a driver of the fleet."""

    name: Annotated[ShortText, Field(examples=["Ravi Kumar"])]
    """The name of the driver."""
    phone: Phone
    license_number: Annotated[ShortText, Field(examples=["DL-0420110149646"])] | None = None
    """The number of the driving licence. Kept for operators, and not shown to apps."""


class Availability(Request):
    """Whether the user wants work."""

    is_available: bool
    """True: online for offers or trips. False: offline."""


class Heartbeat(Request):
    """The position of the transporter's truck or office, from which distances to pickups are measured."""

    latitude: Latitude
    longitude: Longitude


class DeviceDetails(Request):
    """The phone on which the app runs."""

    platform: Literal["android", "ios"]
    """The operating system of the phone."""


# --- commands -------------------------------------------------------------------------------------------


class RegisterVehicle(
    Command, name="fleet.register_vehicle", rejects=(Code.VEHICLE_EXISTS, Code.VEHICLE_BUSY)
):
    transporter_id: UUID
    vehicle_number: str
    details: VehicleDetails


class RegisterDriver(Command, name="fleet.register_driver", rejects=(Code.DRIVER_EXISTS,)):
    transporter_id: UUID
    driver_id: UUID
    details: DriverDetails


class SetAvailability(Command, name="fleet.set_availability", rejects=(Code.TOGGLE_RATE_LIMITED,)):
    transporter_id: UUID
    is_available: bool


class SetAvailabilityByOperator(
    Command,
    name="fleet.set_availability_by_operator",
    rejects=(Code.TRANSPORTER_NOT_FOUND, Code.TRANSPORTER_SILENT),
    audit=Audit("transporter", "transporter_id"),
):
    """Put a transporter online or offline, for an operator.

    `is_connected`: whether a socket of the transporter was open when the operator asked for it.
    """

    transporter_id: UUID
    is_available: bool
    reason: str
    is_connected: bool = False


class SetDriverAvailability(Command, name="fleet.set_driver_availability", rejects=(Code.NOT_FOUND,)):
    driver_id: UUID
    is_available: bool


class RegisterDevice(Command, name="fleet.register_device", rejects=()):
    user_id: UUID
    token: str
    platform: str


class ForgetDevice(Command, name="fleet.forget_device", rejects=()):
    user_id: UUID
    token: str


class SyncPresence(Command, name="fleet.sync_presence", batched=True):
    """Update presence after a fleet's availability or free trucks changed.

    `heard`: whether the transporter's app has just sent a message.

    The worker that made the change also updates presence itself, after its commit. That update may be lost, so this
    command repeats it.
    """

    transporter_id: UUID
    heard: bool = False


# --- events ---------------------------------------------------------------------------------------------


class DriverStatusChanged(Event, to=ToTransporter):
    """A driver went on or off duty. Sent to the driver's transporter."""

    driver_id: DriverId
    is_online: bool
    """Whether the driver is on duty now."""


class AvailabilityChanged(Event, to=ToTransporter):
    """An operator put the transporter online or offline."""

    is_available: bool
    """Whether the transporter is online for offers now."""
    changed_at: Timestamp
    """When this changed."""


# --- views ----------------------------------------------------------------------------------------------


class VehicleView(Wire):
    """A vehicle of the fleet."""

    id: VehicleId
    vehicle_number: VehicleNumberText
    vehicle_type: VehicleType
    vehicle_subtype: VehicleSubtype
    vehicle_key: VehicleKey
    capacity_kg: CapacityKg | None
    status: VehicleStatus
    """Whether the vehicle can take a slot."""


class DriverView(Wire):
    """A driver of the fleet."""

    id: DriverId
    name: Annotated[str, Field(examples=["Ravi Kumar"])]
    """The name of the driver."""
    phone: Annotated[str, Field(examples=["+91 98100 00000"])]
    """The driver's telephone number."""
    is_available: bool
    """Whether the driver is on duty."""


class AvailabilityView(Wire):
    """Whether the transporter is online for offers."""

    is_available: bool
    """Whether the transporter is online for offers."""
    changed_at: Timestamp | None
    """When this changed last; null if the transporter has never set it."""


class DeviceView(Wire):
    """A phone that gets the user's pushes."""

    token: Annotated[str, Field(examples=["fcm-registration-token"])]
    """The FCM registration token of the app on this phone."""
    platform: Platform
    """The operating system of the phone."""


class ForgottenView(Wire):
    """A phone that no longer gets the user's pushes."""

    token: Annotated[str, Field(examples=["fcm-registration-token"])]
    """The FCM registration token of the app on this phone."""
    forgotten: bool = True
    """Always true."""
