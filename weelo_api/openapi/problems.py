"""Problem details: their schema, and an example for every code."""

from __future__ import annotations

from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_workers.contracts.rejections import Code, problem_body
from weelo_workers.contracts.schemas import schema_without_serializer

CONTENT_TYPE = "application/problem+json"

CodeName = Enum("CodeName", {code.name: code.name for code in Code}, type=str)  # type: ignore[misc]
CodeName.__doc__ = "The codes of rejections. They are stable."


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(
        description="the place of the field: `pickup.latitude`, or the name of a header or parameter"
    )
    message: str


class Problem(BaseModel):
    """Why a request or a command was rejected (RFC 9457)."""

    model_config = ConfigDict(alias_generator=to_camel)

    type: str = Field(
        description="where the code is explained", json_schema_extra={"format": "uri-reference"}
    )
    title: str = Field(description="the same text for every problem of this code")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="what happened here, and what can be done about it")
    code: CodeName
    retryable: bool = Field(description="whether the same request may succeed later")
    errors: list[FieldError] | None = Field(None, description="with VALIDATION_ERROR: the fields")
    retry_after: int | None = Field(None, ge=0, description="after how many seconds to try again")
    remaining: int | None = Field(None, ge=0, description="how many slots are still open")
    vehicle_id: UUID | None = Field(None, description="the vehicle that cannot be assigned")
    driver_id: UUID | None = Field(None, description="the driver who cannot be assigned")
    active_broadcast_id: UUID | None = Field(None, description="the customer's open request")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        extra = tuple(
            field.alias or name for name, field in cls.model_fields.items() if not field.is_required()
        )
        return schema_without_serializer(core_schema, handler, optional=extra)


_ID = "8f14e45f-ceea-4c67-a0b1-3d5c2f1e9a10"
_EXTRA: dict[Code, dict[str, Any]] = {
    Code.VALIDATION_ERROR: {"errors": [{"field": "trucksNeeded", "message": "Input should be greater than or equal to 1"}]},
    Code.ORDER_ACTIVE_EXISTS: {"activeBroadcastId": _ID},
    Code.REQUEST_ALREADY_TAKEN: {"remaining": 0},
    Code.BROADCAST_FILLED: {"remaining": 0},
    Code.NOT_ENOUGH_AVAILABLE: {"remaining": 2},
    Code.VEHICLE_NOT_IN_FLEET: {"vehicleId": _ID},
    Code.VEHICLE_BUSY: {"vehicleId": _ID},
    Code.VEHICLE_TYPE_MISMATCH: {"vehicleId": _ID},
    Code.DRIVER_NOT_IN_FLEET: {"driverId": _ID},
    Code.DRIVER_BUSY: {"driverId": _ID},
    Code.TOO_EARLY: {"retryAfter": 600},
    Code.RATE_LIMITED: {"retryAfter": 1},
    Code.TOGGLE_RATE_LIMITED: {"retryAfter": 120},
    Code.SERVICE_UNAVAILABLE: {"retryAfter": 1},
}  # fmt: skip
"""Further members of problems, as the handlers send them."""


def example(code: Code) -> dict[str, Any]:
    """Return an example object of OpenAPI for this code."""
    return {"summary": code.title, "value": problem_body(code, **_EXTRA.get(code, {}))}
