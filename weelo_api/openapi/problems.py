"""Problem details: their schema, and an example for every code."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_workers.contracts.json_schema import model_schema
from weelo_workers.contracts.rejections import Code, problem_body

CONTENT_TYPE = "application/problem+json"

CodeName = Enum("CodeName", {code.name: code.name for code in Code}, type=str)  # type: ignore[misc]
CodeName.__doc__ = "The codes of rejections. They are stable."


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    field: Annotated[str, Field(examples=["pickup.latitude"])]
    """The place of the field, such as `pickup.latitude`, or the name of a header or parameter."""
    message: Annotated[str, Field(examples=["Input should be less than or equal to 90"])]
    """What is wrong with its value."""


class Problem(BaseModel):
    """Why a request or a command was rejected (RFC 9457)."""

    model_config = ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True)

    type: Annotated[
        str, Field(examples=["/docs/codes#BROADCAST_FILLED"], json_schema_extra={"format": "uri-reference"})
    ]
    """The page that explains the code."""
    title: Annotated[str, Field(examples=["All trucks of this request have been found"])]
    """What the code means, in English. It is the same for every problem of this code."""
    status: Annotated[int, Field(ge=400, le=599, examples=[409])]
    """The HTTP status."""
    detail: Annotated[str, Field(examples=["All trucks of this request have been found"])]
    """What went wrong this time, in English, for developers. It may change, so apps decide by `code`."""
    code: CodeName
    """The stable code of the problem, by which apps decide what to do."""
    retryable: bool
    """Whether the same request may succeed later."""
    errors: list[FieldError] | None = None
    """What is wrong with each field. Only with the code VALIDATION_ERROR."""
    retry_after: Annotated[int | None, Field(ge=0, examples=[3])] = None
    """After how many seconds to try again, as in the header `Retry-After`."""
    remaining: Annotated[int | None, Field(ge=0, examples=[1])] = None
    """How many trucks of the request are still open."""
    vehicle_id: Annotated[UUID | None, Field(examples=["c5d4f2a1-0b3e-4f6a-9d7c-2e8b1a4f6c90"])] = None
    """The vehicle that cannot be assigned."""
    driver_id: Annotated[UUID | None, Field(examples=["7a9e3c15-52d8-4b60-8f41-6c0d9b2e7f34"])] = None
    """The driver who cannot be assigned."""
    active_broadcast_id: Annotated[UUID | None, Field(examples=["3f0b7c52-91ad-4e8e-a6d3-5b1f2c7e8d49"])] = (
        None
    )
    """The customer's open request."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        optional = {
            field.alias or name for name, field in cls.model_fields.items() if not field.is_required()
        }
        return model_schema(core_schema, handler, optional)


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
    Code.AREA_PAUSED: {"retryAfter": 60},
}  # fmt: skip
"""Further members of problems, as the handlers send them."""


def example(code: Code) -> dict[str, Any]:
    """Return an example object of OpenAPI for this code."""
    return {"summary": code.title, "value": problem_body(code, **_EXTRA.get(code, {}))}
