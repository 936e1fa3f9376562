"""What a command is: an intention with a name, a queue and a payload that old and new workers both can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from weelo_workers.contracts.queues import Queue
from weelo_workers.contracts.statuses import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the token says. Timers and deliveries have no caller."""

    id: UUID
    role: Role
    name: str | None = None
    phone: str | None = None


STORED = {"stored": True}
"""The context of a validation of what was accepted before."""


class Command(BaseModel):
    """Base of all commands. `name` is also the Celery task's name, so Flower and logs read well.

    Unknown payload fields are ignored and new fields must have defaults: during a deploy old and new
    workers read one another's rows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: ClassVar[str]
    queue: ClassVar[Queue]
    runs_in_background: ClassVar[bool] = False
    """It waits for somebody outside, and is executed beside its queue so that nothing waits for it."""

    sheddable: ClassVar[bool] = False
    """It begins something new: where too much waits already, it is the first to be sent away."""

    ordered_by_subject: ClassVar[bool] = False
    """Rows about one subject are executed one at a time, oldest first, and one attempt may settle several of them
    (see `messaging/ordering.py`)."""

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        queue: Queue | None = None,
        runs_in_background: bool = False,
        sheddable: bool = False,
        ordered_by_subject: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[arg-type]
        if not name:
            return
        domain = name.partition(".")[0]
        cls.name = name
        cls.runs_in_background = runs_in_background
        cls.sheddable = sheddable
        cls.ordered_by_subject = ordered_by_subject
        cls.queue = queue or domain  # type: ignore[assignment]
        if name in REGISTRY:
            raise TypeError(f"two commands are called {name}")
        REGISTRY[name] = cls


REGISTRY: dict[str, type[Command]] = {}
"""Every command by name, filled as the contract modules are imported."""


def load(name: str, payload: dict[str, Any]) -> Command:
    """A stored command. What a newer process added is passed over, at any depth: unknown fields are
    refused at the door (see `wire.Request`), not here. Nor is a kind of vehicle that has left the catalogue."""
    return REGISTRY[name].model_validate(payload, strict=False, extra="ignore", context=STORED)
