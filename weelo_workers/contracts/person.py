"""The contract of personal data: the command that erases a person."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from weelo_workers.contracts.command import Command
from weelo_workers.contracts.queues import FLEET
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.wire import Timestamp, Wire


class ErasePerson(
    Command,
    name="person.erase",
    queue=FLEET,
    priority=2,
    rejects=(Code.NOT_FOUND, Code.INVALID_TRANSITION),
):
    """Replace the personal data of one user in every row, portion by portion.

    It is sent by `weelo person erase` only, and so seldom that it needs no queue of its own.
    """

    person_id: UUID
    reason: str | None = None


class PersonErased(Wire):
    """A person whose personal data were replaced."""

    person_id: Annotated[UUID, Field(examples=["9c1e4f70-2b6d-4a85-b3c1-7d0e9f2a6b34"])]
    """The user id of the person."""
    requested_at: Timestamp
    """When the erasure began. What the person has sent since then may be stored."""
    changed: Annotated[dict[str, int], Field(examples=[{"drivers": 1, "mailbox": 42}])]
    """How many rows were changed, by table."""
