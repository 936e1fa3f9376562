"""Frames in plain words, for people who watch the demo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weelo_client import Frame

Data = dict[str, Any]


def says(frame: Frame) -> str | None:
    """Return a short text about a frame, or None if the frame is not shown."""
    words = _WORDS.get(frame.event)
    return words(frame.data) if words else None


def _state(data: Data) -> str:
    notified, radius = data["transportersNotified"], data.get("radiusKm")
    reach = "" if radius is None else f" within {radius:g} km"
    reached = f", {notified or 'nobody'} told{reach}" if notified or reach else ""
    return f"{data['status']}, {data['trucksFilled']} of {data['trucksNeeded']} trucks{reached}"


def _offer(data: Data) -> str:
    asked = ", ".join(
        f"{v['count']} × {v['vehicleType']} {v['vehicleSubtype']}" for v in data["requestedVehicles"]
    )
    distance = data.get("pickupDistanceKm")
    where = f", {distance:.1f} km away" if distance is not None else ""
    return f"{asked}{where} (step {data['radiusStep']})"


def _truck(data: Data) -> str:
    found = f", {data['trucksFilled']} of {data['trucksNeeded']}" if "trucksFilled" in data else ""
    return f"{data['assignment']['vehicleNumber']}{found}"


def _lost(data: Data) -> str:
    then = "another one is searched for" if data["reoffered"] else "no other one is searched for"
    return f"{_truck(data)}: {data['reasonCode']}, {then}"


def _ended(data: Data) -> str:
    mine = data.get("assignedToYou")
    return f"{data['reason']}" + (f", {mine} of them mine" if mine else "")


_WORDS: dict[str, Callable[[Data], str]] = {
    "broadcast_state_changed": _state,
    "new_broadcast": _offer,
    "truck_confirmed": _truck,
    "trip_assigned": _truck,
    "trip_cancelled": lambda data: f"{_truck(data)}: {data['reason']}",
    "assignment_status_changed": lambda data: f"{_truck(data)} is {data['assignment']['status']}",
    "trucks_remaining_update": lambda data: f"{data['trucksRemaining']} still open",
    "booking_fully_filled": _ended,
    "booking_cancelled": _ended,
    "booking_expired": _ended,
    "no_vehicles_available": lambda data: str(data["reason"]),
    "driver_timeout": _truck,
    "truck_lost": _lost,
    "pickup_reminder": lambda data: f"{_truck(data)} has not set out yet",
    "assignment_stalled": lambda data: f"{_truck(data)} is still {data['assignment']['status']}",
    "hold_expired": lambda _: "the held slots are open again",
    "location_updated": lambda data: f"at {data['latitude']:.4f} N {data['longitude']:.4f} E",
}
