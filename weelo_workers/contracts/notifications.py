"""The notifications domain: telling people what happened, and what became of their commands."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.wire import Timestamp, Wire


class Told(BaseModel):
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
    events: tuple[Told, ...]


class CommandOutcome(Wire):
    """What became of a command. `result` on success, `error` (problem+json) on rejection."""

    command_id: UUID
    command: str
    status: Literal["pending", "succeeded", "rejected"]
    http_status: int | None = None
    result: Any | None = None
    error: dict[str, Any] | None = None
    received_at: Timestamp
    settled_at: Timestamp | None = None
    replayed: bool = False


class CommandSettled(Event):
    command_id: UUID
    command: str
    status: Literal["succeeded", "rejected"]
    http_status: int
    result: Any | None = None
    error: dict[str, Any] | None = None
    received_at: Timestamp
    settled_at: Timestamp
    replayed: bool = False
