"""The contract of notifications: deliveries of events, pushes, and the outcomes of commands."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.wire import Timestamp, Wire


class EventEnvelope(BaseModel):
    """An event on its way to the notifier. `to`: facts about recipients that rows do not have later."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    event: str
    at: Timestamp
    data: dict[str, Any]
    to: dict[str, Any] = {}


class DeliverEvents(Command, name="notifications.deliver"):
    """Deliver the events of one transaction. Deliveries about one `subject_id` keep the order of its history."""

    subject_id: UUID
    events: tuple[EventEnvelope, ...]


class SendPushes(Command, name="notifications.push", runs_in_background=True):
    """Push one event to the phones of these users. `to`: user → seq of the event in the user's log.

    `data`: the content beside type, eventId and seq. `waited`: the time for a socket to acknowledge has passed.
    `devices`: only these, which FCM did not accept before.
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


class CommandOutcome(Outcome):
    """The body of `GET /commands/{id}`, and of the response that accepts a command."""

    status: Literal["pending", "succeeded", "rejected"]


class CommandSettled(Outcome, Event):
    """The outcome as an event, sent to the caller of the command."""

    status: Literal["succeeded", "rejected"]


def frame(event: dict[str, Any], seq: int, own: dict[str, Any] | None) -> dict[str, Any]:
    """Return one line of a user's log as a frame of the socket (CONTRACT section 5).

    `event`: `{id, event, at, data}`, the same for all recipients. `own`: fields of this recipient, which override `data`.
    """
    data = {**event["data"], **own} if own else event["data"]
    return {"id": event["id"], "seq": seq, "event": event["event"], "at": event["at"], "data": data}
