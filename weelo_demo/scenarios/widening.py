"""No transporter nearby has a truck of the requested kind: wider rings follow until one reaches a transporter."""

from __future__ import annotations

import time

from weelo_demo.act import Act
from weelo_demo.fleet import OUTSIDE_THE_CITY_KM
from weelo_demo.people import TRAILER, Customer
from weelo_demo.scenarios.deadline import seconds_left
from weelo_demo.towns import CONNAUGHT_PLACE, distance_km

TITLE = "The ring widens until it reaches a transporter"


def play(act: Act) -> str:
    """Check that the first rings reach no long trailer, and a later ring does: all are at least 30 km away."""
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

    accepted = time.monotonic()
    won = nearest.client.accept(booking["id"], truck.vehicle_id, truck.driver.id)
    act.check(won["isFullyFilled"], f"accepted, and the booking is {won['status']}")
    confirmed = act.hears(customer, "truck_confirmed", broadcastId=booking["id"])
    act.measured("accept → confirmed", confirmed.received - accepted)
    act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])

    distance, step = distance_km(CONNAUGHT_PLACE, nearest.at), offer.data["radiusStep"]
    rings = _rings(customer, booking["id"])
    too_short = [radius for radius in rings if radius < distance]
    act.check(
        step == len(too_short) + 1, f"{distance:.1f} km away, offered at step {step} of the rings {rings}"
    )
    reach = f"{rings[step - 1]:g} km" if step <= len(rings) else "everybody online"
    return f"step {step} ({reach}) reached {nearest.name}, {distance:.1f} km away"


def _rings(customer: Customer, broadcast_id: str) -> list[float]:
    """Return the radii in the customer's frames, in km, each once. The last step has no radius and is left out."""
    seen: list[float] = []
    for frame in customer.listen().frames:
        if frame.event == "broadcast_state_changed" and frame.data["broadcastId"] == broadcast_id:
            radius = frame.data["radiusKm"]
            if radius is not None and radius not in seen:
                seen.append(radius)
    return seen
