"""Sends the command that erases a person, and waits for its end, for the command line."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum, auto
from uuid import UUID

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from weelo_workers.contracts.person import ErasePerson
from weelo_workers.contracts.rejections import Code
from weelo_workers.lifecycles.mailbox import MailboxState
from weelo_workers.messaging import mailbox
from weelo_workers.models import Erasure, MailboxRow

POLL_SECONDS = 0.1


class Status(Enum):
    """How an erasure has ended, or that it has not ended yet."""

    ERASED = auto()
    REFUSED = auto()
    """Something of the person is under way."""
    UNKNOWN = auto()
    """Nothing is stored about the id."""
    UNFINISHED = auto()
    """The erasure goes on, or waits for an operator."""


@dataclass(frozen=True, slots=True)
class Result:
    """The status of an erasure, and a line about it for the operator."""

    status: Status
    text: str


def submit(engine: Engine, person_id: UUID, reason: str) -> UUID:
    """Store the command, and return its id. The sweep finds it within about a second."""
    with engine.begin() as connection:
        return mailbox.send(connection, ErasePerson(person_id=person_id, reason=reason))


def wait(engine: Engine, command_id: UUID, seconds: float) -> Result:
    """Wait up to `seconds` for the end of the erasure, and return its result."""
    until = time.monotonic() + seconds
    while True:
        with Session(engine) as session:
            row = session.get_one(MailboxRow, command_id)
            result = _result(row, session)
        if result.status is not Status.UNFINISHED or row.parked_at or time.monotonic() >= until:
            return result
        time.sleep(POLL_SECONDS)


def _result(row: MailboxRow, session: Session) -> Result:
    if row.state is MailboxState.SUCCEEDED:
        changed = session.scalars(select(Erasure.changed).where(Erasure.command_id == row.id)).one()
        counts = ", ".join(f"{table} {count}" for table, count in sorted(changed.items()))
        return Result(Status.ERASED, f"erased; rows changed: {counts or 'none, nothing was left to erase'}")
    if row.state is MailboxState.REJECTED:
        problem = row.error or {}
        unknown = problem.get("code") == Code.NOT_FOUND.name
        return Result(Status.UNKNOWN if unknown else Status.REFUSED, str(problem.get("detail")))
    if row.state is MailboxState.PARKED:
        why = f"it has failed: {row.last_error}; see `weelo mailbox show {row.id}`, then `weelo mailbox retry {row.id}`"
        return Result(Status.UNFINISHED, why)
    part = session.scalars(select(Erasure.part).where(Erasure.command_id == row.id)).one_or_none()
    doing = (
        f"it is erasing {part}"
        if part
        else "it waits for a worker, or for commands of this user to be executed"
    )
    return Result(Status.UNFINISHED, f"not finished yet: {doing}; it goes on by itself (command {row.id})")
