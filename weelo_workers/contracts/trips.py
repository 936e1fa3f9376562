"""The contract of trips: an assignment from the driver's answer until the goods are delivered."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import AboutBroadcast
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.contracts.wire import (
    DeviceTime,
    Latitude,
    Longitude,
    LongText,
    Place,
    Request,
    Timestamp,
    Wire,
)

# --- requests -------------------------------------------------------------------------------------------


class DriverRefusal(Request):
    reason: LongText | None = None


class TripStep(Request):
    """The new status of a trip. Statuses may be skipped, and the present one may be repeated."""

    status: Literal[
        "en_route_pickup", "at_pickup", "loading_complete", "in_transit", "arrived_at_drop", "completed"
    ]


class TripLocation(Request):
    """Where the truck is. `speed` in km/h, `bearing` in degrees from north; `recorded_at` defaults to now."""

    latitude: Latitude
    longitude: Longitude
    speed: Annotated[float, Field(ge=0, le=500, allow_inf_nan=False)] | None = None
    bearing: Annotated[float, Field(ge=0, le=360, allow_inf_nan=False)] | None = None
    recorded_at: DeviceTime | None = None


# --- commands -------------------------------------------------------------------------------------------


class DriverAccepts(Command, name="trips.driver_accept"):
    assignment_id: UUID
    driver_id: UUID


class DriverDeclines(Command, name="trips.driver_decline"):
    assignment_id: UUID
    driver_id: UUID
    reason: str | None = None


class ExpireAssignment(Command, name="trips.expire_assignment", queue=TIMERS):
    """Timer: revert the assignment if its driver has not answered in time."""

    assignment_id: UUID


class AdvanceTrip(Command, name="trips.advance"):
    trip_id: UUID
    driver_id: UUID
    status: AssignmentStatus


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


class TripCancelled(AboutAssignment):
    reason: str


class AssignmentStatusChanged(AboutAssignment):
    pass


class DriverTimedOut(AboutAssignment):
    """The driver did not answer in time."""
