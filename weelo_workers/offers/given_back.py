"""Slots that a fleet gave back. They are not offered to it again, and it cannot take them by id (WAYS-02)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.models import Assignment, TruckRequest

GIVEN_BACK = "It is offered to other fleets."
"""The detail of SLOT_GIVEN_BACK."""


def slots_given_back(assignments: Iterable[Assignment], transporter_id: UUID) -> set[UUID]:
    """Return the ids of the slots that this fleet gave back. `assignments`: all of the broadcast."""
    return {
        each.truck_request_id
        for each in assignments
        if each.transporter_id == transporter_id and each.status == AssignmentStatus.GIVEN_BACK
    }


def partition_open_slots(
    slots: Sequence[TruckRequest], given_back: Collection[UUID]
) -> tuple[list[TruckRequest], list[TruckRequest]]:
    """Return the open slots that the fleet may take, and those that it gave back."""
    allowed = [slot for slot in slots if slot.id not in given_back]
    return allowed, [slot for slot in slots if slot.id in given_back]
