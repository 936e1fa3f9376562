"""The outcome of a command, as `GET /commands/{id}` returns it and as the `command_settled` frame carries it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from weelo_workers.contracts.event import Event
from weelo_workers.contracts.recipients import ToCaller
from weelo_workers.contracts.wire import CommandId, Timestamp, Wire


class Outcome(Wire):
    """The outcome of a command: `result` if it succeeded, `error` if it was rejected."""

    may_be_absent = frozenset({"result", "error"})

    command_id: CommandId
    command: Annotated[str, Field(examples=["offers.accept"])]
    """The name of the command."""
    http_status: Annotated[int, Field(examples=[200])] | None = None
    """The HTTP status that the outcome has as a response; null while the command is pending."""
    result: Any | None = None
    """The body of the response, if the command succeeded. Otherwise this field is absent."""
    error: dict[str, Any] | None = None
    """Why the command was rejected, as problem details (RFC 9457). If it was not rejected, this field is absent."""
    received_at: Timestamp
    """When the command was recorded."""
    settled_at: Timestamp | None = None
    """When the outcome was recorded; null while the command is pending."""
    replayed: bool = False
    """True if this is the outcome of an earlier request that this one repeats."""

    @model_serializer(mode="wrap")
    def _either_result_or_error(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = serialize(self)
        for absent in ("result", "error"):
            if data[absent] is None:
                del data[absent]
        return data


class CommandOutcome(Outcome):
    """The outcome of a command, as far as it is known."""

    status: Literal["pending", "succeeded", "rejected"]
    """`pending`: accepted, and not executed yet. `succeeded`: executed. `rejected`: had no effect; see `error`."""


class CommandSettled(Outcome, Event, to=ToCaller):
    """A command of the user was executed or rejected."""

    status: Literal["succeeded", "rejected"]
    """`succeeded`: executed. `rejected`: had no effect; see `error`."""
