"""The users who send commands: the first command of a user inserts their row."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from sqlalchemy import Table, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.claim import ClaimedRow
from weelo_workers.models import User
from weelo_workers.models.prepared import prepared

MAX_KNOWN_CALLERS = 10_000
"""When KnownCallers contains this many users, it is emptied, to limit the memory of the process."""


def caller_of(row: ClaimedRow) -> Caller | None:
    """Return the user who sent the command; None for timers and pushes."""
    if row.caller_id is None or row.caller_role is None:
        return None
    return Caller(row.caller_id, Role(row.caller_role), row.caller_name, row.caller_phone)


class KnownCallers:
    """The users whose rows this process has seen committed, so that it need not insert them again."""

    def __init__(self) -> None:
        self._known: set[UUID] = set()

    def __contains__(self, caller: Caller) -> bool:
        return caller.id in self._known

    def add(self, caller: Caller) -> None:
        if len(self._known) >= MAX_KNOWN_CALLERS:
            self._known.clear()
        self._known.add(caller.id)


_NEW_USER = (
    insert(cast(Table, User.__table__))
    .values(created_at=func.clock_timestamp())
    .on_conflict_do_nothing()
    .execution_options(**prepared("ensure_user"))
)


def ensure_user(session: Session, caller: Caller) -> None:
    """Insert the row of this user if there is none."""
    row = {"id": caller.id, "role": caller.role, "name": caller.name, "phone": caller.phone}
    session.connection().execute(_NEW_USER, row)
