"""A transporter accepts with a truck, and the truck's driver does not answer."""

from __future__ import annotations

import time

from weelo_client.shapes import Assignment
from weelo_demo.act import Act
from weelo_demo.people import OPEN
from weelo_demo.scenarios.deadline import GRACE_SECONDS, seconds_between, seconds_left
from weelo_demo.towns import FARIDABAD

TITLE = "A driver who does not answer loses the trip to another"


def play(act: Act) -> str:
    """Check that the transporter is notified, the slot is offered again, and another fleet's driver can accept."""
    customer = act.customer()
    first, second = act.transporters(OPEN, FARIDABAD, 2)
    silent, willing = first.truck(OPEN), second.truck(OPEN)
    assert silent is not None
    assert willing is not None
    act.watch(first, second, act.driver(silent), act.driver(willing))
    booking = act.ask(customer, OPEN, 1, FARIDABAD, "Old Faridabad Chowk")
    act.hears(first, "new_broadcast", broadcastId=booking["id"])
    offer = act.hears(second, "new_broadcast", broadcastId=booking["id"])

    started = time.monotonic()
    (lost,) = first.client.accept(booking["id"], silent.vehicle_id, silent.driver.id)["assignments"]
    patience = _seconds_to_answer(lost)
    act.check(
        patience < seconds_left(booking),
        "this server's drivers have as long to answer (DRIVER_ACCEPT_SECONDS) as its requests live "
        "(BROADCAST_TIMEOUT_SECONDS): a slot never reopens",
    )
    act.hears(silent.driver, "trip_assigned", broadcastId=booking["id"])
    full = act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])
    act.hears(second, "booking_fully_filled", broadcastId=booking["id"])

    timeout = act.hears(first, "driver_timeout", within=patience + GRACE_SECONDS, broadcastId=booking["id"])
    act.measured(f"accept → no answer (after {patience:g} s)", timeout.received - started)
    missed = timeout.data["assignment"]["id"]
    act.check(missed == lost["id"], f"the driver of {missed} timed out instead of {lost['id']}")
    act.hears(customer, "broadcast_state_changed", after=full, broadcastId=booking["id"], status="active")
    again = act.hears(second, "new_broadcast", after=offer, broadcastId=booking["id"])
    act.measured("no answer → offered again", again.received - timeout.received)
    listed = [each["broadcastId"] for each in first.client.offers()]
    act.check(booking["id"] not in listed, f"{first.name} is asked again, with no other truck to send")

    accepted = time.monotonic()
    second.client.accept(booking["id"], willing.vehicle_id, willing.driver.id)
    trip = act.hears(willing.driver, "trip_assigned", broadcastId=booking["id"]).data["assignment"]
    answered = willing.driver.client.accept_assignment(trip["id"])
    act.check(answered["status"] == "driver_accepted", f"the driver said yes and is {answered['status']}")
    filled = act.hears(customer, "booking_fully_filled", after=full, broadcastId=booking["id"])
    act.measured("another accept → fully filled", filled.received - accepted)
    act.refused(
        silent.driver,
        "wakes up and says yes",
        lambda: silent.driver.client.accept_assignment(lost["id"]),
        code="ASSIGNMENT_EXPIRED",
    )
    return f"{silent.number} was given up after {patience:g} s; {willing.number} of {second.name} drives"


def _seconds_to_answer(assignment: Assignment) -> float:
    until = assignment.get("expiresAt")
    assert until is not None, "a driver who is asked has a time to answer"
    return seconds_between(assignment["createdAt"], until)
