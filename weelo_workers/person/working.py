"""Works on the rows of an erasure, a portion per transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, update

from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models import Erasure
from weelo_workers.person.columns import TABLES
from weelo_workers.person.rows import (
    COMMANDS_THAT_FOLLOWED,
    OWN_REQUEST_ID,
    PARTS,
    Part,
    parameters,
    read_portion,
)
from weelo_workers.person.scrubbing import scrub_row

PORTION = 1_000
"""How many rows one transaction reads. It locks them for a second or two at most."""
MOST_REQUEST_IDS = 1_000

_PARTS = {part.name: part for part in (*PARTS, COMMANDS_THAT_FOLLOWED)}


def work(erasure: Erasure, uow: UnitOfWork, names: Sequence[str]) -> None:
    """Erase the next rows, up to PORTION of them. After the last row of a part, the erasure moves to the next part.

    `names`: the names of all parts of the erasure, in their order. The last part is the data in Redis and not rows, so
    this function does nothing once the erasure has reached it.
    """
    left = PORTION
    while left > 0 and (part := _PARTS.get(erasure.part)) is not None:
        ids = erasure.request_ids or []
        given = parameters(
            erasure.person_id,
            erasure.requested_at,
            ids,
            all_request_ids=len(ids) >= MOST_REQUEST_IDS,
        )
        connection = uow.session.connection()
        portion = read_portion(connection, part, given, erasure.cursor, left, lock=True)
        changed = sum(_erase_row(part, row, erasure, uow) for row in portion.rows)
        if changed:
            erasure.changed = dict(Counter(erasure.changed) + Counter({part.table.name: changed}))
        erasure.cursor = portion.cursor
        if portion.cursor is not None:
            return
        left -= portion.read
        erasure.part = names[names.index(erasure.part) + 1]


def _erase_row(part: Part, row: Mapping[str, Any], erasure: Erasure, uow: UnitOfWork) -> bool:
    """Replace what is personal in this row, or delete the row. Return whether anything changed."""
    table = part.table
    this_row = [column == row[column.key] for column in table.primary_key]
    connection = uow.session.connection()
    if TABLES[table.name].rows_deleted or _is_parked(part, row):
        connection.execute(delete(table).where(*this_row))
        return True
    if part is COMMANDS_THAT_FOLLOWED:
        new: dict[str, Any] = {"request_id": None}
    else:
        new = scrub_row(table.name, row, erasure.person_id, is_theirs=row["is_theirs"], columns=part.columns)
    if "request_id" in new and part is not COMMANDS_THAT_FOLLOWED:
        _remember(row["request_id"], erasure)
    if new:
        connection.execute(update(table).where(*this_row).values(new))
    return bool(new)


def _is_parked(part: Part, row: Mapping[str, Any]) -> bool:
    """Return whether the row is a parked command.

    Such a row is deleted: the command has had no effect, and cannot be retried without its payload.
    """
    return part.table.name == "mailbox" and row["settled_at"] is None and part is not COMMANDS_THAT_FOLLOWED


def _remember(request_id: str, erasure: Erasure) -> None:
    known = erasure.request_ids or []
    if (
        OWN_REQUEST_ID.fullmatch(request_id) is None
        and request_id not in known
        and len(known) < MOST_REQUEST_IDS
    ):
        erasure.request_ids = [*known, request_id]
