"""Published events are delivered by one command per transaction, which the notifier executes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from weelo_workers.contracts.command import REGISTRY, Command
from weelo_workers.contracts.wire import Timestamp


class EventEnvelope(BaseModel):
    """An event as it is stored until it is delivered. `to`: the recipients that cannot be derived from rows later."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    event: str
    at: Timestamp
    data: dict[str, Any]
    to: dict[str, Any] = {}


class EventDelivery(Command):
    """Base of the one command that carries the events of a transaction.

    The unit of work sends the command but knows only this base class. The module of a domain declares the subclass.
    """

    subject_id: UUID
    events: tuple[EventEnvelope, ...]


def event_delivery() -> type[EventDelivery]:
    """Return the subclass of EventDelivery. Raises LookupError unless exactly one is declared."""
    found = [command for command in REGISTRY.values() if issubclass(command, EventDelivery)]
    if len(found) != 1:
        raise LookupError(f"one command has to carry events, and there are {len(found)}")
    return found[0]
