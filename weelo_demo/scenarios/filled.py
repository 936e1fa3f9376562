"""The regular case: a booking is requested, offered, accepted, confirmed and driven."""

from __future__ import annotations

import time

from weelo_demo.act import Act
from weelo_demo.people import CONTAINER, Customer, Driver
from weelo_demo.towns import CONNAUGHT_PLACE, moved

TITLE = "One booking finds its truck and is driven"


def play(act: Act) -> str:
    """Check that the customer is notified of every change of status, and the driver gets the trip and can drive it."""
    customer = act.customer()
    (transporter,) = act.transporters(CONTAINER, CONNAUGHT_PLACE)
    truck = transporter.truck(CONTAINER)
    assert truck is not None
    driver = act.driver(truck)
    act.watch(transporter, driver)

    asked = time.monotonic()
    booking = act.ask(customer, CONTAINER, 1, CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    offer = act.hears(transporter, "new_broadcast", broadcastId=booking["id"])
    act.measured("ask → offer heard", offer.received - asked)

    accepted = time.monotonic()
    won = transporter.client.accept(booking["id"], truck.vehicle_id, truck.driver.id)
    act.check(won["isFullyFilled"], f"the only truck was accepted, and the booking is {won['status']}")
    confirmed = act.hears(customer, "truck_confirmed", broadcastId=booking["id"])
    act.measured("accept → confirmed", confirmed.received - accepted)
    act.check(
        confirmed.data["assignment"]["vehicleNumber"] == truck.number,
        f"{confirmed.data['assignment']['vehicleNumber']} was confirmed instead of {truck.number}",
    )
    assigned = act.hears(driver, "trip_assigned", broadcastId=booking["id"])
    act.measured("accept → driver told", assigned.received - accepted)
    act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])

    trip = assigned.data["assignment"]
    driver.client.accept_assignment(trip["id"])
    for step in ("at_pickup", "loading_complete", "in_transit"):
        driver.client.report_trip(trip["tripId"], step)
    _is_seen_on_the_map(act, customer, driver, trip["tripId"])
    driver.client.report_trip(trip["tripId"], "completed")
    completed = act.hears(customer, "booking_completed", broadcastId=booking["id"])
    act.measured("driver's yes → delivered, 5 reports", completed.received - assigned.received)

    states = _states(customer, booking["id"])
    expected = ["created", "broadcasting", "active", "fully_filled", "in_progress", "completed"]
    act.check(states == expected, f"the customer heard {' → '.join(states)}")
    return f"{truck.number} of {transporter.name}, {offer.data['pickupDistanceKm']:.1f} km away"


def _is_seen_on_the_map(act: Act, customer: Customer, driver: Driver, trip_id: str) -> None:
    here = moved(CONNAUGHT_PLACE, -7.0, 3.5)
    driver.client.report_location(trip_id, here.latitude, here.longitude, speed=42.0)
    act.hears(customer, "location_updated", tripId=trip_id, latitude=here.latitude, longitude=here.longitude)


def _states(customer: Customer, broadcast_id: str) -> list[str]:
    """Return the states in the order of the customer's frames, without repeats (a wider ring keeps the state)."""
    sequence: list[str] = []
    for frame in customer.listen().frames:
        if frame.event == "broadcast_state_changed" and frame.data["broadcastId"] == broadcast_id:
            status = frame.data["status"]
            if status not in sequence[-1:]:
                sequence.append(status)
    return sequence
