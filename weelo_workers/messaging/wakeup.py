"""The bell: a message that says "look into the mailbox". It may be lost, doubled or late; the row is the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from weelo_workers.contracts.queues import Queue


class BrokerUnavailable(Exception):
    """The ring could not be sent. Nothing is lost: the sweep will find the row."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Wake a worker of `queue` for the mailbox row `id`, after `countdown` seconds."""

    id: UUID
    name: str
    queue: Queue
    countdown: float = 0.0
    follows: UUID | None = None
    """The subject about which an older delivery waits: whoever settles that one may settle this as well."""


class Waker(Protocol):
    @property
    def recently_failed(self) -> bool:
        """Whether it could not be rung of late."""

    def wake(self, wake_up: WakeUp) -> None:
        """Send it. Raises BrokerUnavailable when the broker cannot be reached."""
