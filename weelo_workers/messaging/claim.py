"""Claim a command: lock its row, so that of several messages for one command a single one has an effect."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import Boolean, Table, bindparam, func, join, or_, select, true
from sqlalchemy.orm import Session

from weelo_workers.messaging import ordering
from weelo_workers.models import MailboxRow
from weelo_workers.models.mailbox import active, pause_is_over

_mailbox = cast(Table, MailboxRow.__table__)
# The subject's lock is taken while the rows are found and the row's own lock after it. PostgreSQL then evaluates the
# conditions again on the locked row.
_CLAIM = (
    select(MailboxRow, func.clock_timestamp(), ordering.SUBJECT_LOCK.c.taken)
    .select_from(join(ordering.SUBJECT_LOCK, MailboxRow, true()))
    .where(
        MailboxRow.id == bindparam("id"),
        active(MailboxRow),
        # In a pause after a failure it is not claimed, whatever woke this worker. A marked attempt began the pause itself.
        or_(bindparam("marked", type_=Boolean()), pause_is_over(MailboxRow)),
    )
    .with_for_update(of=MailboxRow)
)


def claim(session: Session, command_id: UUID, *, marked: bool) -> tuple[MailboxRow, datetime] | None:
    """Lock the row of the command until the transaction ends. Return it with the database's time.

    Return None if the row is settled, parked, deleted, or in its pause after a failure. `marked`: this attempt has been
    recorded as a possible crash, so the pause is its own. Waits while another transaction has the row, or its subject if
    the command is ordered by subject.
    """
    parameters = {"id": command_id, "marked": marked, "ordered_names": ordering.names()}
    found = session.execute(_CLAIM, parameters).one_or_none()
    return (found[0], found[1]) if found else None
