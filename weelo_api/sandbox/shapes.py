"""The bodies and answers of the routes of the sandbox."""

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


def _not_zero(user_id: UUID) -> UUID:
    if not user_id.int:
        raise ValueError("must not be the UUID of zeros")
    return user_id


class Advance(Request):
    """How far to move the clock: up to 31 days."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 60}]})

    seconds: Annotated[float, Field(gt=0, le=MAX_ADVANCE_SECONDS, allow_inf_nan=False)]


class ClockView(Wire):
    """The time of the sandbox, and its distance to the real time. `moving`: whether an advance goes on."""

    now: Timestamp
    offset_seconds: float
    moving: bool


class AdvancedView(ClockView):
    """`timers_executed`: how many timers and delayed commands were executed meanwhile; null while it goes on."""

    timers_executed: int | None


class NewFleet(Request):
    """A fleet with this many trucks of one kind at one place.

    `after_seconds`: how long each of its robots waits before it acts, by the clock of the sandbox.
    """

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
    behaviour: Annotated[Behaviour, Field(strict=False)]
    after_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 1.0


class FleetView(Wire):
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
    """`sub`: the user's id; without it a new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "customer"}]})

    role: Annotated[Role, Field(strict=False)]
    sub: Annotated[UUID, Field(strict=False), AfterValidator(_not_zero)] | None = None


class TokenView(Wire):
    token: str
    user_id: UUID
    role: Role
    expires_at: Timestamp
