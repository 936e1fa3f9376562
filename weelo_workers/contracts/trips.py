"""The contract of trips: an assignment from the driver's answer until the goods are delivered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.reasons import CustomerReason, OperatorReason, ProviderReason
from weelo_workers.contracts.recipients import ToDriver
from weelo_workers.contracts.rejections import OF_DRIVERS_ASSIGNMENTS, OF_TRUCKS, Code
from weelo_workers.contracts.statuses import AssignmentStatus, EndOutcome, Role
from weelo_workers.contracts.wire import (
    DeviceTime,
    Latitude,
    Longitude,
    LongText,
    NoteText,
    Place,
    Request,
    RequiredNote,
    Timestamp,
    Wire,
)

# --- requests -------------------------------------------------------------------------------------------


class DriverRefusal(Request):
    """`reason`: the driver's own words. `reason_code`: one of the codes of drivers."""

    reason: LongText | None = None
    reason_code: ProviderReason | None = None


class GivingBack(Request):
    reason_code: ProviderReason
    note: NoteText | None = None


class Replacement(Request):
    """The new driver, the new vehicle, or both."""

    driver_id: UUID | None = None
    vehicle_id: UUID | None = None
    reason_code: ProviderReason | None = None

    @model_validator(mode="after")
    def _something_new(self) -> Self:
        if self.driver_id is None and self.vehicle_id is None:
            raise ValueError("give driverId, vehicleId or both")
        return self


class NoShowReport(Request):
    note: NoteText | None = None


class TruckCancellation(Request):
    reason_code: CustomerReason
    note: NoteText | None = None


class Ending(Request):
    """How an operator ends a trip, and why. `note` must not be empty."""

    outcome: EndOutcome
    reason_code: OperatorReason
    note: RequiredNote


class TripStep(Request):
    """The new status of a trip. Statuses may be skipped, and the present one may be repeated.

    `occurred_at`: when it was reached, by the phone's clock, at most two minutes ahead of ours. A driver without
    reception reports the status later.
    """

    status: Literal[
        "en_route_pickup", "at_pickup", "loading_complete", "in_transit", "arrived_at_drop", "completed"
    ]
    occurred_at: DeviceTime | None = None


class TripLocation(Request):
    """Where the truck is. `speed` in km/h, `bearing` in degrees from north; `recorded_at` defaults to now."""

    latitude: Latitude
    longitude: Longitude
    speed: Annotated[float, Field(ge=0, le=500, allow_inf_nan=False)] | None = None
    bearing: Annotated[float, Field(ge=0, le=360, allow_inf_nan=False)] | None = None
    recorded_at: DeviceTime | None = None


# --- commands -------------------------------------------------------------------------------------------


class DriverAccepts(
    Command,
    name="trips.driver_accept",
    rejects=(*OF_DRIVERS_ASSIGNMENTS, Code.ASSIGNMENT_EXPIRED, Code.INVALID_TRANSITION),
):
    assignment_id: UUID
    driver_id: UUID


class DriverDeclines(
    Command, name="trips.driver_decline", rejects=(*OF_DRIVERS_ASSIGNMENTS, Code.INVALID_TRANSITION)
):
    assignment_id: UUID
    driver_id: UUID
    reason: str | None = None
    reason_code: ProviderReason | None = None


class GiveBack(Command, name="trips.give_back", rejects=(*OF_DRIVERS_ASSIGNMENTS, Code.INVALID_TRANSITION)):
    """Give a truck back: it does not come, and its slot is searched for again. `role`: driver or transporter."""

    assignment_id: UUID
    user_id: UUID
    role: Role
    reason_code: ProviderReason
    note: str | None = None


class ReplaceTruck(
    Command,
    name="trips.replace",
    rejects=(Code.ASSIGNMENT_NOT_FOUND, Code.INVALID_TRANSITION, *OF_TRUCKS),
):
    """Send another driver, another vehicle or both on the same trip."""

    assignment_id: UUID
    transporter_id: UUID
    driver_id: UUID | None = None
    vehicle_id: UUID | None = None
    reason_code: ProviderReason | None = None


class ReportNoShow(
    Command,
    name="trips.report_no_show",
    rejects=(*OF_DRIVERS_ASSIGNMENTS, Code.INVALID_TRANSITION, Code.TOO_EARLY),
):
    """Report that the customer did not come to the pickup. The trip ends."""

    assignment_id: UUID
    driver_id: UUID
    note: str | None = None


class CancelTruck(
    Command, name="trips.cancel_truck", rejects=(Code.ASSIGNMENT_NOT_FOUND, Code.BOOKING_CANNOT_CANCEL)
):
    """Cancel one truck of a broadcast."""

    assignment_id: UUID
    customer_id: UUID
    reason_code: CustomerReason
    note: str | None = None


class EndTrip(Command, name="trips.end", rejects=(Code.ASSIGNMENT_NOT_FOUND, Code.INVALID_TRANSITION)):
    """End a trip as completed or as failed, for an operator."""

    assignment_id: UUID
    outcome: EndOutcome
    reason_code: OperatorReason
    note: str


class ExpireAssignment(Command, name="trips.expire_assignment", queue=TIMERS):
    """Timer: revert the assignment if its driver has not answered in time."""

    assignment_id: UUID


class Watchdog(Command):
    """Base of the timers that watch an assignment in one status. They do nothing if it has left this status.

    `since`: when the assignment entered the status.
    """

    assignment_id: UUID
    since: datetime


class RemindToStart(Watchdog, name="trips.remind_to_start", queue=TIMERS):
    """Timer: remind driver and transporter of a truck that has not set out."""


class GiveBackStalled(Watchdog, name="trips.give_back_stalled", queue=TIMERS):
    """Timer: give back a truck that has not set out."""


class ReportStalled(Watchdog, name="trips.report_stalled", queue=TIMERS):
    """Timer: tell transporter and customer of a truck that does not arrive at the pickup, or waits there for long.

    `status`: the status that is watched.
    """

    status: AssignmentStatus


class AdvanceTrip(Command, name="trips.advance", rejects=(*OF_DRIVERS_ASSIGNMENTS, Code.INVALID_TRANSITION)):
    """Advance a trip to this status. `occurred_at`: when it was reached, by the phone's clock."""

    trip_id: UUID
    driver_id: UUID
    status: AssignmentStatus
    occurred_at: datetime | None = None


# --- views ----------------------------------------------------------------------------------------------


class AssignmentView(Wire):
    id: UUID
    trip_id: UUID
    broadcast_id: UUID
    truck_request_id: UUID
    transporter_id: UUID
    driver_id: UUID
    vehicle_id: UUID
    vehicle_number: str
    status: AssignmentStatus
    reason_code: str | None
    expires_at: Timestamp | None
    created_at: Timestamp
    state_changed_at: Timestamp


class LocationUpdated(Wire):
    """The data of `location_updated`, which is ephemeral: sent live, and not written to any log."""

    trip_id: UUID
    latitude: float
    longitude: float
    speed: float | None
    bearing: float | None
    recorded_at: Timestamp


class Waypoint(Place):
    """A place for the driver's app, which reads `lat`/`lng` where other apps read `latitude`/`longitude`."""

    lat: float
    lng: float

    @classmethod
    def at(cls, place: Place) -> Waypoint:
        return cls(**place.model_dump(), lat=place.latitude, lng=place.longitude)


# --- events ---------------------------------------------------------------------------------------------


class AboutAssignment(AboutBroadcast, shared=True):
    assignment: AssignmentView


class TripAssigned(AboutAssignment):
    pickup: Waypoint
    drop: Waypoint
    expires_at: Timestamp | None


class TripCancelled(AboutAssignment, to=ToDriver):
    """The trip is no longer the driver's. `reason`: one of `TripCancelledBecause`.

    `reason_code`: the reason code of the user who caused this, or of the system.
    """

    reason: str
    reason_code: str | None


class AssignmentStatusChanged(AboutAssignment):
    """`occurred_at`: when the status was reached by the clock of the driver's phone, if the phone reported it."""

    occurred_at: Timestamp | None = None


class TruckLost(AboutAssignment):
    """A truck does not come. `reoffered`: whether another one is searched for."""

    reason_code: str
    reoffered: bool


class PickupReminder(AboutAssignment):
    """The truck has not set out yet."""


class AssignmentStalled(AboutAssignment):
    """The truck has not arrived at the pickup for a long time, or waits there for a long time."""


class DriverTimedOut(AboutAssignment):
    """The driver did not answer in time."""
