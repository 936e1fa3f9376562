"""Nobody near has such a truck: the ring grows until somebody hears."""

from __future__ import annotations

import time

from weelo_client import Frame
from weelo_demo.act import Act
from weelo_demo.fleet import OUTSIDE_THE_CITY_KM
from weelo_demo.people import TRAILER, Customer
from weelo_demo.scenarios.deadline import seconds_left
from weelo_demo.towns import CONNAUGHT_PLACE, distance_km

TITLE = "A ring widens until somebody hears it"


def play(act: Act) -> str:
    """Long trailers stand 30 km away and more: silence in the first rings, an offer in the one that reaches them."""
    customer = act.customer()
    _, farthest = OUTSIDE_THE_CITY_KM
    fleets = act.transporters(TRAILER, CONNAUGHT_PLACE, 10, within_km=farthest, at_least=1)
    nearest = fleets[0]
    truck = nearest.truck(TRAILER)
    assert truck is not None
    act.watch(nearest)

    asked = time.monotonic()
    booking = act.ask(customer, TRAILER, 1, CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    offer = act.hears(nearest, "new_broadcast", within=seconds_left(booking), broadcastId=booking["id"])
    act.measured("ask → offer heard", offer.received - asked)

    away = distance_km(CONNAUGHT_PLACE, nearest.at)
    step = offer.data["radiusStep"]
    told = act.hears(customer, "broadcast_state_changed", broadcastId=booking["id"], transportersNotified=len(fleets))
    rings = [ring for ring in _rings(customer, booking["id"], told) if ring is not None]
    act.check(len(rings) == step, f"offered at step {step} after the rings {rings}")
    act.check(
        all(ring < away for ring in rings[:-1]) and rings[-1] >= away,
        f"{away:.1f} km away, and offered in the last of the rings {rings}",
    )

    accepted = time.monotonic()
    won = nearest.client.accept(booking["id"], truck.vehicle_id, truck.driver.id)
    act.check(won["isFullyFilled"], f"accepted, and the booking is {won['status']}")
    confirmed = act.hears(customer, "truck_confirmed", broadcastId=booking["id"])
    act.measured("accept → confirmed", confirmed.received - accepted)
    act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])
    return f"step {step} ({rings[-1]:g} km) reached {nearest.name}, {away:.1f} km away"


def _rings(customer: Customer, broadcast_id: str, until: Frame) -> list[float | None]:
    """The radii that the customer saw, each once, up to this frame."""
    seen: list[float | None] = []
    for frame in customer.listen().frames:
        if frame.event == "broadcast_state_changed" and frame.data["broadcastId"] == broadcast_id:
            if frame.data["radiusKm"] not in seen:
                seen.append(frame.data["radiusKm"])
            if frame.seq == until.seq:
                break
    return seen
