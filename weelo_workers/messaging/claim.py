"""Claim a command: lock its row, so that only one of several messages for one command has an effect."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Row, Select, bindparam, func, or_, select
from sqlalchemy.orm import Session

from weelo_workers import tracing
from weelo_workers.models.mailbox import MAILBOX, active, pause_is_over
from weelo_workers.models.prepared import prepared

ClaimedRow = Row[Any]
"""A claimed row with the columns of the mailbox (`traceparent` only if traces are on), and `claimed_at`: the database's time after the lock."""


@lru_cache(maxsize=2)
def _claim(*, traced: bool) -> Select[Any]:
    """Return the statement that claims a row. `traced`: whether to read `traceparent`, which is null if traces are off."""
    columns = [column for column in MAILBOX.c if traced or column.name != "traceparent"]
    # If another transaction has changed the row while this one waited for its lock, PostgreSQL checks the conditions
    # again on the new version.
    claimed = (
        select(*columns)
        .where(
            MAILBOX.c.id == bindparam("id"),
            active(),
            # During a pause, only a marked attempt may claim the row, because its own crash mark has begun the pause.
            or_(bindparam("marked", type_=Boolean()), pause_is_over()),
        )
        .with_for_update(of=MAILBOX)
        .cte("claimed")
    )
    return select(claimed, func.clock_timestamp().label("claimed_at")).execution_options(**prepared("claim"))


def claim(session: Session, command_id: UUID, *, marked: bool) -> ClaimedRow | None:
    """Lock the row of the command until the transaction ends, and return it.

    Return None if the row is settled, parked, deleted, or in its pause after a failure. Wait while another transaction
    has locked the row.

    `marked`: whether this attempt has a crash mark. The crash mark itself has begun a pause, so a marked attempt
    ignores the pause.
    """
    parameters = {"id": command_id, "marked": marked}
    return session.connection().execute(_claim(traced=tracing.are_on()), parameters).one_or_none()
