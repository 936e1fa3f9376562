"""Wake-ups: messages that make a worker execute a mailbox row. They may be lost, repeated or late without harm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from weelo_workers.contracts.queues import Queue


class BrokerUnavailable(Exception):
    """The wake-up could not be sent. The sweep will find the row."""


@dataclass(frozen=True, slots=True)
class WakeUp:
    """A message that wakes a worker of `queue` for the mailbox row `id`, after `countdown` seconds."""

    id: UUID
    name: str
    queue: Queue
    countdown: float = 0.0


class Waker(Protocol):
    @property
    def recently_failed(self) -> bool:
        """Whether the broker was unavailable recently."""

    def wake(self, wake_up: WakeUp) -> None:
        """Send a wake-up. Raises BrokerUnavailable if the broker cannot be reached."""
