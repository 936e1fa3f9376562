"""Leaves out of an export which other users have blocked or preferred the person.

These rows have ids and times only, and an erasure changes nothing in them.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from weelo_workers.contracts.offers import ReleaseHold
from weelo_workers.contracts.relations import BLOCKS, SECRET
from weelo_workers.contracts.statuses import PassedOverBecause, TransitionSubject

_MARKS = ("blocked_by_customer_at", "blocked_by_transporter_at", "preferred_at", "contracted_at")
_OF_THE_OTHER = {
    "customer_id": ("blocked_by_transporter_at",),
    "transporter_id": ("blocked_by_customer_at", "preferred_at"),
}
"""The marks of a relation that the other side has set, by the column with the person's id."""


def shown(table: str, row: dict[str, Any], person: UUID) -> dict[str, Any] | None:
    """Return the row of an export without what is withheld; None if nothing is left."""
    match table:
        case "relations":
            column = "customer_id" if row["customer_id"] == person else "transporter_id"
            left = row | dict.fromkeys(_OF_THE_OTHER[column])
            return left if any(left[mark] for mark in _MARKS) else None
        case "passed_over":
            return None if row["reason"] == PassedOverBecause.BLOCKED else row
        case "transitions" if row["cause"] in BLOCKS and row["actor_id"] != person:
            return None if row["subject"] == TransitionSubject.OFFER else row | {"cause": ReleaseHold.name}
        case "mailbox" if row["name"] in SECRET:
            return row if row["caller_id"] == person else None
        case "events" if row["event"] == "command_settled" and row["data"].get("command") in SECRET:
            return None  # events that the person has received are added to the export later
    return row
