"""In a running system, an order of two kinds of trucks is held, confirmed and driven to its end."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.people import DROP, OPEN, PICKUP, Listener, Truck, book, refusal
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_client import WeeloClient
from weelo_client.shapes import Broadcast, HeldTruck, VehicleRequirement
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

HERE: dict[str, Any] = {"latitude": 28.65, "longitude": 77.25, "speed": 40.5, "bearing": 90}


def order(customer: WeeloClient) -> Broadcast:
    row: VehicleRequirement = {"vehicleType": OPEN[0], "vehicleSubtype": OPEN[1], "quantity": 1}
    return customer.create_order(PICKUP, DROP, [row])


def test_an_order_is_held_confirmed_driven_and_followed_on_the_map(system: System) -> None:
    truck, other = Truck(system), Truck(system)
    customer, driver = system.client(Role.CUSTOMER, uuid4()), system.client(Role.DRIVER, truck.driver)
    follows, fleet, rival = Listener(customer), Listener(truck.client), Listener(other.client)
    ordered = order(customer)["orderId"]
    offer = fleet.until("new_broadcast", orderId=ordered).data
    rival.until("new_broadcast", orderId=ordered)

    held = truck.client.hold(ordered, quantity=1)
    assert held["truckRequestIds"] == offer["truckRequestIds"]
    rival.until("trucks_remaining_update", orderId=ordered, trucksRemaining=0)
    assert refusal(lambda: other.accept(ordered)) == (409, "REQUEST_ALREADY_TAKEN")

    named: HeldTruck = {"vehicleId": truck.vehicle, "driverId": str(truck.driver)}
    (assignment,) = truck.client.confirm_hold(held["holdId"], [named])["assignments"]
    driver.accept_assignment(assignment["id"])

    trip = assignment["tripId"]
    driver.report_trip(trip, "at_pickup")
    follows.until("broadcast_state_changed", status="in_progress")
    driver.report_location(trip, **HERE)
    seen = follows.until("location_updated")
    assert {name: seen.data[name] for name in HERE} == HERE
    assert seen.data["tripId"] == trip and seen.seq is None
    stranger = system.client(Role.DRIVER, uuid4())
    assert refusal(lambda: stranger.report_location(trip, **HERE)) == (404, "ASSIGNMENT_NOT_FOUND")

    driver.report_trip(trip, "completed")
    follows.until("booking_completed", orderId=ordered)
    fleet.until("booking_completed", orderId=ordered)
    eventually(lambda: refusal(lambda: driver.report_location(trip, **HERE))[0] == 409, within=15)

    steps = customer.timeline(ordered)
    assert [step["transition"] for step in steps if step["subject"] == "hold"] == ["hold", "confirm"]
    for each in (follows, fleet, rival):
        each.close()
    truck.available(False)
    other.available(False)


def test_a_released_hold_is_open_to_all_again(system: System) -> None:
    truck, customer = Truck(system), system.client(Role.CUSTOMER, uuid4())
    fleet = Listener(truck.client)
    booking = book(customer)["id"]
    fleet.until("new_broadcast", broadcastId=booking)
    held = truck.client.hold(booking, quantity=1)
    fleet.until("trucks_remaining_update", trucksRemaining=0)
    assert truck.client.release_hold(held["holdId"])["status"] == "released"
    fleet.until("trucks_remaining_update", trucksRemaining=1)
    customer.cancel_booking(booking)
    fleet.close()
    truck.available(False)


def test_PRES_02_a_transporter_hears_of_its_drivers(system: System) -> None:
    truck = Truck(system)
    fleet = Listener(truck.client)
    system.client(Role.DRIVER, truck.driver).set_driver_availability(False)
    change = fleet.until("driver_status_changed").data
    assert (change["driverId"], change["isOnline"]) == (str(truck.driver), False)
    fleet.close()
    truck.available(False)
