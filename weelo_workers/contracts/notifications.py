"""The notifications domain: telling people what happened, and what became of their commands."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.wire import Timestamp, Wire


class EventEnvelope(BaseModel):
    """An event on its way to the notifier: what happened, and what its audience cannot be derived from later."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    event: str
    at: Timestamp
    data: dict[str, Any]
    to: dict[str, Any] = {}


class DeliverEvents(Command, name="notifications.deliver"):
    """Tell what one transition brought about. Deliveries about one `subject` happen in the order of its history."""

    subject_id: UUID
    events: tuple[EventEnvelope, ...]


class SendPushes(Command, name="notifications.push", runs_in_background=True):
    """One event to the phones of these users (user → seq of their line).

    `data`: what the push says beside type, eventId and seq. `waited`: a socket had its time to acknowledge.
    `devices`: only these, which FCM could not take before.
    """

    event_id: UUID
    event: str
    data: dict[str, str]
    ends_at: AwareDatetime
    to: dict[UUID, int]
    waited: bool = False
    devices: tuple[UUID, ...] | None = None
    attempt: int = 0


class Outcome(Wire):
    """What became of a command: `result` if it succeeded, `error` (problem+json) if it was rejected."""

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


class CommandOutcome(Outcome):
    """At `GET /commands/{id}`, and as far as is known when a command is accepted."""

    status: Literal["pending", "succeeded", "rejected"]


class CommandSettled(Outcome, Event):
    """The same, told to the caller."""

    status: Literal["succeeded", "rejected"]


def frame(event: dict[str, Any], seq: int, own: dict[str, Any] | None) -> dict[str, Any]:
    """One line of a user's log as the socket carries it (CONTRACT section 5).

    `event` is `{id, event, at, data}` as all its readers share it; `own` is laid over the data.
    """
    data = {**event["data"], **own} if own else event["data"]
    return {"id": event["id"], "seq": seq, "event": event["event"], "at": event["at"], "data": data}
