"""Rules about the slots of a broadcast, for rows in memory. `TruckRequest` has the conditions for one slot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles.truck_request import FILLED
from weelo_workers.models import Assignment, TruckRequest


def filled(slots: Iterable[TruckRequest]) -> int:
    """Return the number of slots with a truck. It is counted each time and stored nowhere."""
    return sum(slot.status in FILLED for slot in slots)


def searching(slots: Iterable[TruckRequest]) -> list[TruckRequest]:
    """Return the open slots that are not on hold."""
    return [slot for slot in slots if slot.is_searching]


def kinds_of(slots: Iterable[TruckRequest]) -> set[str]:
    """Return the kinds of vehicles that fit at least one of these slots."""
    return {slot.vehicle_key for slot in slots}


def split_given_back(
    slots: Sequence[TruckRequest], assignments: Iterable[Assignment], transporter_id: UUID
) -> tuple[list[TruckRequest], list[TruckRequest]]:
    """Return two lists: the slots that the transporter may take, and the slots that the transporter gave back (WAYS-02).

    `assignments`: all assignments of the broadcast.
    """
    given_back = {
        each.truck_request_id
        for each in assignments
        if each.transporter_id == transporter_id and each.status == AssignmentStatus.GIVEN_BACK
    }
    return (
        [slot for slot in slots if slot.id not in given_back],
        [slot for slot in slots if slot.id in given_back],
    )
