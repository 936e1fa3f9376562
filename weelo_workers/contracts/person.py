"""The contract of personal data: the command that erases a person."""

from __future__ import annotations

from uuid import UUID

from weelo_workers.contracts.command import Audit, Command
from weelo_workers.contracts.queues import FLEET
from weelo_workers.contracts.rejections import Code


class ErasePerson(
    Command,
    name="person.erase",
    queue=FLEET,
    priority=2,
    rejects=(Code.NOT_FOUND, Code.INVALID_TRANSITION),
    audit=Audit("person", "person_id"),
):
    """Replace the personal data of one user in every row, portion by portion.

    It is sent by `weelo person erase` only, and so seldom that it needs no queue of its own.
    """

    person_id: UUID
    reason: str
