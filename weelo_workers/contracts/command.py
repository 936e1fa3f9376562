"""The base class of commands: a name, a queue, and a payload that both old and new workers can read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from weelo_workers.contracts.queues import Queue
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import Role

Priority = Literal[0, 1, 2]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who sent a command, from the claims of the token. Timers and pushes have no caller."""

    id: UUID
    role: Role
    name: str | None = None
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """How the audit log describes an operator's command.

    `subject`: the kind of object that the command is about, such as `broadcast`. `subject_id`, `reason`: the names of
    the command's fields that contain the object's id and the operator's own words. `subject_id` is None if the object
    has no id; the details of the entry then name the object.
    """

    subject: str
    subject_id: str | None
    reason: str = "reason"


STORED = {"stored": True}
"""The validation context for commands that are read from the mailbox."""


class Command(BaseModel):
    """Base of all commands. `name` is also the name of the Celery task, as shown in Flower and in logs.

    Unknown payload fields are ignored and new fields must have defaults, because during a deploy old and new workers
    read each other's rows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    name: ClassVar[str]
    queue: ClassVar[Queue]
    runs_in_background: ClassVar[bool] = False
    """The command waits for an external service, so it runs in a background thread and does not block its queue."""

    sheddable: ClassVar[bool] = False
    """The command starts new work, so it is among the first to be refused under load."""

    batched: ClassVar[bool] = False
    """Rows of this command wake no worker, because they are executed in batches (see `messaging/batches.py`)."""

    priority: ClassVar[Priority] = 0
    """Workers execute commands of a lower number first. Those of 1 and 2, for which no user waits, do not count as load
    that causes refusals."""

    rejects: ClassVar[frozenset[Code]] = frozenset()
    """The codes with which the handler may reject the command. The OpenAPI document lists them for the command's routes."""

    audit: ClassVar[Audit | None] = None
    """Set for the commands of operators: each outcome, also a rejection, is written to the audit log."""

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        queue: Queue | None = None,
        runs_in_background: bool = False,
        sheddable: bool = False,
        batched: bool = False,
        priority: Priority = 0,
        rejects: Iterable[Code] | None = None,
        audit: Audit | None = None,
        **kwargs: object,
    ) -> None:
        super().__init_subclass__(**kwargs)  # type: ignore[arg-type]
        if not name:
            return
        domain = name.partition(".")[0]
        cls.name = name
        cls.runs_in_background = runs_in_background
        cls.sheddable = sheddable
        cls.batched = batched
        cls.priority = priority
        cls.queue = queue or domain  # type: ignore[assignment]
        cls.audit = audit
        if rejects is not None:
            cls.rejects = frozenset(rejects)
        if name in REGISTRY:
            raise TypeError(f"two commands are called {name}")
        REGISTRY[name] = cls


REGISTRY: dict[str, type[Command]] = {}
"""Every command class by name. Importing the contract modules fills it."""


def is_batched(name: str) -> bool:
    """Return whether the command of this name is executed in batches. An unknown command is not."""
    command = REGISTRY.get(name)
    return command is not None and command.batched


def priority_of(name: str) -> Priority:
    """Return the priority of the command of this name; 0 for an unknown command."""
    command = REGISTRY.get(name)
    return command.priority if command else 0


def audit_of(name: str) -> Audit | None:
    """Return how the audit log describes the command of this name; None if the command is not recorded there."""
    command = REGISTRY.get(name)
    return command.audit if command else None


def load(name: str, payload: dict[str, Any]) -> Command:
    """Return a stored command.

    Unlike a request (see `wire.Request`), it may have unknown fields at any depth, from a newer version, and kinds of
    vehicles that are no longer in the catalogue.
    """
    return REGISTRY[name].model_validate(payload, strict=False, extra="ignore", context=STORED)
