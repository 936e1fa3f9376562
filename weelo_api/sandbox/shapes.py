"""The bodies and responses of the sandbox's routes."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from weelo_api.sandbox.behaviours import Behaviour
from weelo_api.sandbox.fleets import MAX_TRUCKS
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.vehicle_kinds import KindName, TypeName
from weelo_workers.contracts.wire import Latitude, Longitude, Request, Timestamp, Wire

MAX_ADVANCE_SECONDS = 31 * 86_400


def _not_nil(user_id: UUID) -> UUID:
    if not user_id.int:
        raise ValueError("must not be the nil UUID")
    return user_id


class Advance(Request):
    """How far to move the clock: up to 31 days."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 60}]})

    seconds: Annotated[float, Field(gt=0, le=MAX_ADVANCE_SECONDS, allow_inf_nan=False)]
    """By how many seconds the clock is moved."""


class ClockView(Wire):
    """The time of the sandbox."""

    now: Timestamp
    """The time of the sandbox."""
    offset_seconds: float
    """How far this time is ahead of the real time, in seconds."""
    moving: bool
    """Whether a request to move the clock is not finished."""


class AdvancedView(ClockView):
    """The time of the sandbox after its clock was moved."""

    timers_executed: int | None
    """How many timers and delayed commands were executed meanwhile; null while the clock is still being moved."""


class NewFleet(Request):
    """A fleet with trucks of one kind at one place."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "latitude": 28.61,
                    "longitude": 77.21,
                    "vehicleType": "open",
                    "vehicleSubtype": "17 Feet",
                    "trucks": 1,
                    "behaviour": "drives",
                    "afterSeconds": 5,
                }
            ]
        }
    )

    latitude: Latitude
    longitude: Longitude
    vehicle_type: TypeName
    vehicle_subtype: KindName
    trucks: Annotated[int, Field(ge=1, le=MAX_TRUCKS)] = 1
    """How many trucks, each with a driver, the fleet has."""
    behaviour: Annotated[Behaviour, Field(strict=False)]
    """How the fleet and its drivers act."""
    after_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 1.0
    """How many seconds after an event a robot acts, by the clock of the sandbox."""


class FleetView(Wire):
    """A robot fleet."""

    transporter_id: UUID
    latitude: float
    longitude: float
    vehicle_type: str
    vehicle_subtype: str
    trucks: int
    behaviour: Behaviour
    after_seconds: float
    driver_ids: list[UUID]


class TokenRequest(Request):
    """The role, and if wanted the user, for which a token is issued."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "customer"}]})

    role: Annotated[Role, Field(strict=False)]
    sub: Annotated[UUID, Field(strict=False), AfterValidator(_not_nil)] | None = None
    """The id of the user. Left out: a new id."""


class TokenView(Wire):
    """A token, and the user to whom it belongs."""

    token: str
    user_id: UUID
    role: Role
    expires_at: Timestamp
