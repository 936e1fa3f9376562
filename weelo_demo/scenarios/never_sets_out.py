"""A driver accepts a trip and never sets out."""

from __future__ import annotations

import time

from weelo_client import Frame
from weelo_demo.act import Act, NotAsItShould, Skipped
from weelo_demo.people import OPEN, Person
from weelo_demo.towns import NARELA

TITLE = "A driver who never sets out loses the trip"
PATIENCE_SECONDS = 60.0
"""How long to wait for each timer of the server. Apps cannot read START_REMINDER_SECONDS and START_LIMIT_SECONDS, which are
15 min and 1 h by default, so the scenario waits this long before it is skipped."""


def play(act: Act) -> str:
    """Check that driver and transporter are reminded, the truck is given back, and another fleet gets the slot."""
    customer = act.customer()
    first, second = act.transporters(OPEN, NARELA, 2)
    idle, willing = first.truck(OPEN), second.truck(OPEN)
    assert idle is not None
    assert willing is not None
    act.watch(first, second, act.driver(idle), act.driver(willing))
    booking = act.ask(customer, OPEN, 1, NARELA, "New Grain Market, Narela")
    act.hears(first, "new_broadcast", broadcastId=booking["id"])
    offer = act.hears(second, "new_broadcast", broadcastId=booking["id"])
    (trip,) = first.client.accept(booking["id"], idle.vehicle_id, idle.driver.id)["assignments"]
    act.hears(idle.driver, "trip_assigned", broadcastId=booking["id"])
    full = act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])
    idle.driver.client.accept_assignment(trip["id"])

    said_yes = time.monotonic()
    reminder = wait_for_timer(act, idle.driver, "pickup_reminder", booking["id"], "START_REMINDER_SECONDS")
    act.measured("driver's yes → reminded", reminder.received - said_yes)
    act.hears(first, "pickup_reminder", broadcastId=booking["id"])
    cancelled = wait_for_timer(act, idle.driver, "trip_cancelled", booking["id"], "START_LIMIT_SECONDS")
    act.measured("driver's yes → given back", cancelled.received - said_yes)
    reason = cancelled.data["reason"]
    act.check(reason == "stalled", f"the driver never set out, and reads {reason}")
    lost = act.hears(customer, "truck_lost", broadcastId=booking["id"])
    told = (lost.data["assignment"]["id"], lost.data["reasonCode"], lost.data["reoffered"])
    act.check(told == (trip["id"], "stalled", True), f"the customer is told of the loss as {told}")
    again = act.hears(second, "new_broadcast", after=offer, broadcastId=booking["id"])
    act.measured("given back → offered again", again.received - lost.received)
    listed = [each["broadcastId"] for each in first.client.offers()]
    act.check(booking["id"] not in listed, f"{first.name} is offered the slot of its own lost truck again")

    accepted = time.monotonic()
    second.client.accept(booking["id"], willing.vehicle_id, willing.driver.id)
    saved = act.hears(willing.driver, "trip_assigned", broadcastId=booking["id"]).data["assignment"]
    willing.driver.client.accept_assignment(saved["id"])
    filled = act.hears(customer, "booking_fully_filled", after=full, broadcastId=booking["id"])
    act.measured("another accept → fully filled", filled.received - accepted)
    willing.driver.client.report_trip(saved["tripId"], "completed")
    act.hears(customer, "booking_completed", broadcastId=booking["id"])
    act.refused(
        idle.driver,
        "sets out at last",
        lambda: idle.driver.client.report_trip(trip["tripId"], "en_route_pickup"),
        code="INVALID_TRANSITION",
    )
    return f"{idle.number} was reminded and given back; {willing.number} of {second.name} delivered"


def wait_for_timer(act: Act, person: Person, event: str, broadcast_id: str, setting: str) -> Frame:
    """Return the frame that a timer causes. Raises Skipped if this server's timer is longer than the demo waits."""
    try:
        return act.hears(person, event, within=PATIENCE_SECONDS, broadcastId=broadcast_id)
    except NotAsItShould:
        raise Skipped(
            f"no {event} within {PATIENCE_SECONDS:g} s: this server's {setting} is longer, or 0"
        ) from None
