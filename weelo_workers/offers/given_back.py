"""Slots that a fleet gave back. They are not offered to it again, and it cannot take them by id (WAYS-02)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.models import Assignment, TruckRequest


def slots_given_back(assignments: Iterable[Assignment], transporter_id: UUID) -> set[UUID]:
    """Return the ids of the slots that this fleet gave back. `assignments`: all of the broadcast."""
    return {
        each.truck_request_id
        for each in assignments
        if each.transporter_id == transporter_id and each.status == AssignmentStatus.GIVEN_BACK
    }


def without_given_back(
    slots: Sequence[TruckRequest], given_back: Collection[UUID], named: Iterable[UUID | None] = ()
) -> list[TruckRequest]:
    """Return those of the open slots that the fleet may take.

    Raises Rejected(SLOT_GIVEN_BACK) if there are open slots but none for this fleet, or if it names one that it gave
    back.
    """
    allowed = [slot for slot in slots if slot.id not in given_back]
    if (slots and not allowed) or any(slot_id in given_back for slot_id in named):
        raise Rejected(Code.SLOT_GIVEN_BACK, "It is offered to other fleets.")
    return allowed
