"""What robots do: for each behaviour, the action that follows an event in the log of a transporter or a driver."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from weelo_workers.contracts.statuses import AssignmentStatus


class Behaviour(StrEnum):
    """How a robot fleet acts. Unless a behaviour names another action, fleet and drivers accept, and do not set out."""

    ACCEPTS = "accepts"
    DECLINES = "declines"
    SILENT = "silent"
    ACCEPTS_DRIVER_DECLINES = "accepts_driver_declines"
    ACCEPTS_DRIVER_SILENT = "accepts_driver_silent"
    GIVES_BACK = "gives_back"
    DRIVES = "drives"


class Action(StrEnum):
    """What a robot does: each member stands for a command."""

    ACCEPT_OFFER = "accept_offer"
    DECLINE_OFFER = "decline_offer"
    ACCEPT_TRIP = "accept_trip"
    DECLINE_TRIP = "decline_trip"
    GIVE_BACK = "give_back"
    ADVANCE_TRIP = "advance_trip"


NEXT_STATUS = {
    AssignmentStatus.DRIVER_ACCEPTED: AssignmentStatus.EN_ROUTE_PICKUP,
    AssignmentStatus.EN_ROUTE_PICKUP: AssignmentStatus.AT_PICKUP,
    AssignmentStatus.AT_PICKUP: AssignmentStatus.LOADING_COMPLETE,
    AssignmentStatus.LOADING_COMPLETE: AssignmentStatus.IN_TRANSIT,
    AssignmentStatus.IN_TRANSIT: AssignmentStatus.ARRIVED_AT_DROP,
    AssignmentStatus.ARRIVED_AT_DROP: AssignmentStatus.COMPLETED,
}
"""The status that a driver with the behaviour `drives` reports next, by the present status."""

_ON_OFFER = {
    Behaviour.DECLINES: Action.DECLINE_OFFER,
    Behaviour.SILENT: None,
}
_ON_TRIP = {
    Behaviour.ACCEPTS_DRIVER_DECLINES: Action.DECLINE_TRIP,
    Behaviour.ACCEPTS_DRIVER_SILENT: None,
}


def reaction(behaviour: Behaviour, event: str, data: Mapping[str, Any], *, is_driver: bool) -> Action | None:
    """Return what the robot does after this event in its log; None if it does nothing."""
    if not is_driver:
        return _ON_OFFER.get(behaviour, Action.ACCEPT_OFFER) if event == "new_broadcast" else None
    if event == "trip_assigned":
        return _ON_TRIP.get(behaviour, Action.ACCEPT_TRIP)
    if event == "assignment_status_changed":
        status = data["assignment"]["status"]
        if behaviour is Behaviour.DRIVES and status in NEXT_STATUS:
            return Action.ADVANCE_TRIP
        if behaviour is Behaviour.GIVES_BACK and status == AssignmentStatus.DRIVER_ACCEPTED:
            return Action.GIVE_BACK
    return None
