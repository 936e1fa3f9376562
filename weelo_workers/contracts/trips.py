"""The contract of trips: an assignment from the driver's answer until the goods are delivered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from weelo_workers.contracts.command import Audit, Command
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.reasons import CustomerReason, OperatorReason, ProviderReason, ReasonCode
from weelo_workers.contracts.recipients import ToDriver
from weelo_workers.contracts.rejections import OF_DRIVERS_ASSIGNMENTS, OF_TRUCKS, Code
from weelo_workers.contracts.statuses import AssignmentStatus, EndOutcome, Role, TripCancelledBecause
from weelo_workers.contracts.wire import (
    AssignmentId,
    BroadcastId,
    DeviceTime,
    DriverId,
    Latitude,
    Longitude,
    Note,
    OwnWords,
    Place,
    Request,
    RequiredNote,
    StateChangedAt,
    Timestamp,
    TransporterId,
    TripId,
    TruckRequestId,
    VehicleId,
    VehicleNumberText,
    Wire,
)

# --- requests -------------------------------------------------------------------------------------------


class DriverRefusal(Request):
    """Why the driver declines. Both fields may be left out."""

    reason: OwnWords | None = None
    reason_code: ProviderReason | None = None
    """Why the driver declines, as one of the codes of drivers."""


class GivingBack(Request):
    """Why the truck does not come."""

    reason_code: ProviderReason
    """Why the truck does not come."""
    note: Note | None = None


class Replacement(Request):
    """The new driver, the new vehicle, or both."""

    driver_id: DriverId | None = None
    """The user id of the new driver. Left out: the driver stays."""
    vehicle_id: VehicleId | None = None
    """The id of the new vehicle. Left out: the vehicle stays."""
    reason_code: ProviderReason | None = None
    """Why the driver or the vehicle is replaced."""

    @model_validator(mode="after")
    def _something_new(self) -> Self:
        if self.driver_id is None and self.vehicle_id is None:
            raise ValueError("give driverId, vehicleId or both")
        return self


class NoShowReport(Request):
    """What the driver saw at the pickup."""

    note: Note | None = None


class TruckCancellation(Request):
    """Why the customer cancels the truck."""

    reason_code: CustomerReason
    """Why the customer cancels the truck."""
    note: Note | None = None


class Ending(Request):
    """How an operator ends a trip, and why."""

    outcome: EndOutcome
    """How the trip ends."""
    reason_code: OperatorReason
    """Why the trip ends. An operator acts for one of the parties, so the codes of all of them are allowed."""
    note: Annotated[RequiredNote, Field(examples=["The driver reported the delivery by telephone."])]
    """What happened, in the operator's own words."""


class TripStep(Request):
    """The new status of a trip. Statuses may be skipped, and the present one may be repeated."""

    status: Literal[
        "en_route_pickup", "at_pickup", "loading_complete", "in_transit", "arrived_at_drop", "completed"
    ]
    """The status that the trip has reached."""
    occurred_at: DeviceTime | None = None
    """When the status was reached, by the clock of the phone, at most two minutes ahead of the server's.

    A driver without reception reports the status later, with this time.
    """


class TripLocation(Request):
    """Where the truck is."""

    latitude: Latitude
    longitude: Longitude
    speed: Annotated[float, Field(ge=0, le=500, allow_inf_nan=False, examples=[42.5])] | None = None
    """The speed in km/h."""
    bearing: Annotated[float, Field(ge=0, le=360, allow_inf_nan=False, examples=[270])] | None = None
    """The direction of travel in degrees clockwise from north."""
    recorded_at: DeviceTime | None = None
    """When the position was measured, by the clock of the phone. Left out: now, by the server's clock."""


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
    """Give a truck back: it does not come, and its slot is offered again. `role`: driver or transporter."""

    assignment_id: UUID
    user_id: UUID
    role: Role
    reason_code: ProviderReason
    note: str | None = None


class ReplaceTruck(
    Command,
    name="trips.replace",
    rejects=(Code.ASSIGNMENT_NOT_FOUND, Code.INVALID_TRANSITION, Code.BLOCKED, *OF_TRUCKS),
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


class EndTrip(
    Command,
    name="trips.end",
    rejects=(Code.ASSIGNMENT_NOT_FOUND, Code.INVALID_TRANSITION),
    audit=Audit("assignment", "assignment_id", reason="note"),
):
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
    """Timer: tell transporter and customer of a truck that arrives too late at the pickup, or waits there too long.

    `status`: the status that is watched.
    """

    status: AssignmentStatus


ASSIGNMENT_TIMERS = tuple(
    timer.name for timer in (ExpireAssignment, RemindToStart, GiveBackStalled, ReportStalled)
)
"""The names of the timers of assignments. `assignment_id` in their payload names the assignment."""


class AdvanceTrip(Command, name="trips.advance", rejects=(*OF_DRIVERS_ASSIGNMENTS, Code.INVALID_TRANSITION)):
    """Advance a trip to this status. `occurred_at`: when it was reached, by the phone's clock."""

    trip_id: UUID
    driver_id: UUID
    status: AssignmentStatus
    occurred_at: datetime | None = None


# --- views ----------------------------------------------------------------------------------------------


class AssignmentView(Wire):
    """A truck with its driver on one slot of a broadcast."""

    id: AssignmentId
    trip_id: TripId
    broadcast_id: BroadcastId
    truck_request_id: TruckRequestId
    transporter_id: TransporterId
    driver_id: DriverId
    vehicle_id: VehicleId
    vehicle_number: VehicleNumberText
    status: AssignmentStatus
    """The status of the assignment."""
    reason_code: ReasonCode | None
    """Why the assignment ended; null while it has not, and if no code was given."""
    expires_at: Timestamp | None
    """Until when the driver may answer; null once the assignment is no longer pending."""
    created_at: Timestamp
    """When the truck was assigned."""
    state_changed_at: StateChangedAt


class LocationUpdated(Wire):
    """Where a truck is. Sent live to the customer, and not written to any log."""

    trip_id: TripId
    latitude: Annotated[float, Field(examples=[28.6139])]
    """The latitude of the truck in degrees, WGS 84."""
    longitude: Annotated[float, Field(examples=[77.209])]
    """The longitude of the truck in degrees, WGS 84."""
    speed: Annotated[float, Field(examples=[42.5])] | None
    """The speed in km/h; null if the phone did not report it."""
    bearing: Annotated[float, Field(examples=[270])] | None
    """The direction of travel in degrees clockwise from north; null if the phone did not report it."""
    recorded_at: Timestamp
    """When the position was measured."""


class Waypoint(Place):
    """A place for the driver's app, which reads `lat` and `lng` where other apps read `latitude` and `longitude`."""

    lat: Annotated[float, Field(examples=[28.6139])]
    """The same as `latitude`."""
    lng: Annotated[float, Field(examples=[77.209])]
    """The same as `longitude`."""

    @classmethod
    def at(cls, place: Place) -> Waypoint:
        return cls(**place.model_dump(), lat=place.latitude, lng=place.longitude)


# --- events ---------------------------------------------------------------------------------------------


class AboutAssignment(AboutBroadcast, shared=True):
    """Base of events about one truck of a broadcast."""

    assignment: AssignmentView
    """The truck with its driver, after this event."""


class TripAssigned(AboutAssignment):
    """A trip was assigned to the driver, who is to accept or decline it."""

    pickup: Waypoint
    """Where the goods are loaded."""
    drop: Waypoint
    """Where the goods are delivered."""
    expires_at: Timestamp | None
    """Until when the driver may answer."""


class TripCancelled(AboutAssignment, to=ToDriver):
    """The trip is no longer the driver's."""

    reason: TripCancelledBecause
    """Why the driver loses the trip."""
    reason_code: ReasonCode | None
    """The reason code of the user who caused this, or of the system; null if no code was given."""


class AssignmentStatusChanged(AboutAssignment):
    """The status of an assignment has changed, or its driver or vehicle."""

    occurred_at: Timestamp | None = None
    """When the status was reached by the clock of the driver's phone; null if the phone did not report it."""


class TruckLost(AboutAssignment):
    """A truck does not come."""

    reason_code: ReasonCode
    """Why the truck does not come."""
    reoffered: bool
    """Whether another truck is searched for."""


class PickupReminder(AboutAssignment):
    """The truck has not set out yet."""


class AssignmentStalled(AboutAssignment):
    """The truck has not arrived at the pickup for a long time, or waits there for a long time."""


class DriverTimedOut(AboutAssignment):
    """The driver did not answer in time."""
