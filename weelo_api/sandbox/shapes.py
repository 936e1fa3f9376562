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

    seconds: Annotated[float, Field(gt=0, le=MAX_ADVANCE_SECONDS, allow_inf_nan=False, examples=[60])]
    """By how many seconds the clock is moved."""


class ClockView(Wire):
    """The time of the sandbox."""

    now: Timestamp
    """The time of the sandbox."""
    offset_seconds: Annotated[float, Field(examples=[60.0])]
    """How far this time is ahead of the real time, in seconds."""
    moving: bool
    """Whether a request to move the clock is not finished."""


class AdvancedView(ClockView):
    """The time of the sandbox after its clock was moved."""

    timers_executed: Annotated[int | None, Field(examples=[3])]
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

    transporter_id: Annotated[UUID, Field(examples=["6f1c2b7e-0d35-4c58-9a41-2f7be0d1c9a4"])]
    """The id of the fleet as a user of the role `transporter`."""
    latitude: Latitude
    longitude: Longitude
    vehicle_type: TypeName
    vehicle_subtype: KindName
    trucks: Annotated[int, Field(examples=[1])]
    """How many trucks, each with a driver, the fleet has."""
    behaviour: Behaviour
    """How the fleet and its drivers act."""
    after_seconds: Annotated[float, Field(examples=[5.0])]
    """How many seconds after an event a robot acts, by the clock of the sandbox."""
    driver_ids: Annotated[list[UUID], Field(examples=[["b3a9d1c4-7e52-4f06-8b1d-5c2e9f7a6d30"]])]
    """The ids of the fleet's drivers as users of the role `driver`."""


class TokenRequest(Request):
    """The role, and if wanted the user, for which a token is issued."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "customer"}]})

    role: Annotated[Role, Field(strict=False)]
    """The role of the user."""
    sub: (
        Annotated[
            UUID,
            Field(strict=False, examples=["6f1c2b7e-0d35-4c58-9a41-2f7be0d1c9a4"]),
            AfterValidator(_not_nil),
        ]
        | None
    ) = None
    """The id of the user. Left out: a new id."""


class TokenView(Wire):
    """A token, and the user to whom it belongs."""

    token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"])]
    """The token, for the header `Authorization: Bearer …`."""
    user_id: Annotated[UUID, Field(examples=["6f1c2b7e-0d35-4c58-9a41-2f7be0d1c9a4"])]
    """The id of the user to whom the token belongs."""
    role: Role
    """The role of the user."""
    expires_at: Timestamp
    """When the token expires, in real time: moving the clock of the sandbox changes nothing."""
