"""A truck of a filled booking breaks down on its way to the pickup, and its driver gives it back."""

from __future__ import annotations

import time

from weelo_client import Frame
from weelo_client.shapes import Assignment, Broadcast
from weelo_demo.act import Act
from weelo_demo.people import OPEN, Customer, Transporter, Truck
from weelo_demo.towns import GHAZIABAD

TITLE = "A truck breaks down and another fleet takes over"


def play(act: Act) -> str:
    """Check that the slot is offered to other fleets at once, not to the one that gave it back, and another truck delivers."""
    customer = act.customer()
    unlucky, steady, saviour = act.transporters(OPEN, GHAZIABAD, 3)
    act.watch(unlucky, saviour)
    booking = act.ask(customer, OPEN, 2, GHAZIABAD, "Anaj Mandi, Ghaziabad")
    act.hears(unlucky, "new_broadcast", broadcastId=booking["id"])
    first_offer = act.hears(saviour, "new_broadcast", broadcastId=booking["id"])
    broken = _assigned(act, unlucky, booking)
    other = _assigned(act, steady, booking)
    full = act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])
    act.hears(saviour, "booking_fully_filled", broadcastId=booking["id"])
    for fleet, trip in ((unlucky, broken), (steady, other)):
        _truck(fleet).driver.client.report_trip(trip["tripId"], "en_route_pickup")
    act.hears(customer, "broadcast_state_changed", broadcastId=booking["id"], status="in_progress")

    started = time.monotonic()
    driver = _truck(unlucky).driver
    act.note(driver.name, "gives back", f"{broken['vehicleNumber']}: breakdown")
    given_back = driver.client.give_back(broken["id"], "breakdown", "The clutch is gone")
    act.check(given_back["status"] == "given_back", f"it was given back, and it is {given_back['status']}")
    lost = act.hears(customer, "truck_lost", broadcastId=booking["id"])
    _names_the_loss(act, lost, broken)
    again = act.hears(saviour, "new_broadcast", after=first_offer, broadcastId=booking["id"])
    act.measured("given back → offered to the other fleet", again.received - started)
    slots = again.data["truckRequestIds"]
    act.check(
        slots == [broken["truckRequestId"]],
        f"{saviour.name} is offered the slots {slots} instead of {broken['truckRequestId']}",
    )
    _is_not_offered_to(act, unlucky, broken)

    accepted = time.monotonic()
    saved = _assigned(act, saviour, booking)
    filled = act.hears(customer, "booking_fully_filled", after=full, broadcastId=booking["id"])
    act.measured("another accept → fully filled", filled.received - accepted)
    for fleet, trip in ((steady, other), (saviour, saved)):
        _truck(fleet).driver.client.report_trip(trip["tripId"], "completed")
    completed = act.hears(customer, "booking_completed", broadcastId=booking["id"])
    act.measured("given back → delivered", completed.received - started)
    _was_told_nothing_more(act, unlucky, booking)
    _is_complete(act, customer, booking, {other["id"], saved["id"]})
    return f"{saved['vehicleNumber']} of {saviour.name} took over from {broken['vehicleNumber']}"


def _assigned(act: Act, fleet: Transporter, booking: Broadcast) -> Assignment:
    """Accept as the fleet with its truck, then as the truck's driver, and return the assignment."""
    truck = _truck(fleet)
    driver = act.driver(truck)
    act.watch(driver)
    fleet.client.accept(booking["id"], truck.vehicle_id, driver.id)
    assigned = act.hears(driver, "trip_assigned", broadcastId=booking["id"])
    return driver.client.accept_assignment(assigned.data["assignment"]["id"])


def _truck(fleet: Transporter) -> Truck:
    truck = fleet.truck(OPEN)
    assert truck is not None
    return truck


def _names_the_loss(act: Act, lost: Frame, broken: Assignment) -> None:
    named, code, reoffered = (lost.data[name] for name in ("assignment", "reasonCode", "reoffered"))
    act.check(named["id"] == broken["id"], f"the customer is told that {named['vehicleNumber']} is lost")
    act.check(code == "breakdown", f"a breakdown is reported to the customer as {code}")
    act.check(reoffered is True, "a truck is lost, and no other one is searched for")


def _is_not_offered_to(act: Act, fleet: Transporter, broken: Assignment) -> None:
    """Check that the fleet cannot get the slot that it gave back, which is open to others."""
    listed = [each["broadcastId"] for each in fleet.client.offers()]
    act.check(broken["broadcastId"] not in listed, f"{fleet.name} gave it back, and has it in its offers")
    truck, slot = _truck(fleet), broken["truckRequestId"]
    act.refused(
        fleet,
        "accepts it again",
        lambda: fleet.client.accept_truck_request(slot, truck.vehicle_id, truck.driver.id),
        code="SLOT_GIVEN_BACK",
    )


def _was_told_nothing_more(act: Act, fleet: Transporter, booking: Broadcast) -> None:
    """Check that the fleet got no other offer of the slot before the second `booking_fully_filled` in its log."""
    filled = act.hears(fleet, "booking_fully_filled", broadcastId=booking["id"])
    last = act.hears(fleet, "booking_fully_filled", after=filled, broadcastId=booking["id"])
    offers = [
        frame.seq
        for frame in fleet.listen().frames
        if frame.event == "new_broadcast" and frame.data["broadcastId"] == booking["id"]
    ]
    act.check(len(offers) == 1, f"{fleet.name} was told of the booking in the lines {offers} of its log")
    mine = last.data["assignedToYou"]
    act.check(mine == 0, f"{fleet.name} gave its truck back, but the frame counts {mine}")


def _is_complete(act: Act, customer: Customer, booking: Broadcast, delivered: set[str]) -> None:
    final = customer.client.booking(booking["id"])
    act.check(
        (final["status"], final["trucksFilled"]) == ("completed", 2),
        f"both trucks have delivered, and it is {final['status']} with {final['trucksFilled']}",
    )
    completed = {each["id"] for each in final["assignments"] if each["status"] == "completed"}
    act.check(completed == delivered, f"the trips {sorted(completed)} are completed")
