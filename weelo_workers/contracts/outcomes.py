"""The outcome of a command, as `GET /commands/{id}` returns it and as the `command_settled` frame carries it."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import ToCaller
from weelo_workers.contracts.schemas import schema_without_serializer
from weelo_workers.contracts.wire import Timestamp, Wire


class Outcome(Wire):
    """The outcome of a command: `result` if it succeeded, `error` (problem+json) if it was rejected."""

    command_id: UUID
    command: str
    http_status: int | None = None
    result: Any | None = None
    error: dict[str, Any] | None = None
    received_at: Timestamp
    settled_at: Timestamp | None = None
    replayed: bool = False

    @model_serializer(mode="wrap")
    def _either_result_or_error(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        for absent in ("result", "error"):
            if data[absent] is None:
                del data[absent]
        return data

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return schema_without_serializer(core_schema, handler, optional=("result", "error"))


class CommandOutcome(Outcome):
    """The body of `GET /commands/{id}` and of the response to a posted command. `pending`: it is not settled yet."""

    status: Literal["pending", "succeeded", "rejected"]


class CommandSettled(Outcome, Event, to=ToCaller):
    """The event that carries the outcome to the caller."""

    status: Literal["succeeded", "rejected"]
