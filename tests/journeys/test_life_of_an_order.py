"""An order of two kinds, held, confirmed and driven to its end, through the running system."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.journeys.test_bad_input import BOOKING
from tests.journeys.test_life_of_a_booking import Listener, Truck
from tests.system import System
from tests.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

DROP_THESE = ("vehicleType", "vehicleSubtype", "trucksNeeded", "pricePerTruck")


def an_order(*kinds: str) -> dict[str, Any]:
    asked = {name: value for name, value in BOOKING.items() if name not in DROP_THESE}
    rows = [{"vehicleType": "open", "vehicleSubtype": kind, "quantity": 1} for kind in kinds]
    return {**asked, "vehicleRequirements": rows}


def test_an_order_is_held_confirmed_driven_and_followed_on_the_map(system: System) -> None:
    truck, other, customer = Truck(system), Truck(system), uuid4()
    asks = system.http(Role.CUSTOMER, customer)
    follows = Listener(system, Role.CUSTOMER, customer)
    fleet = Listener(system, Role.TRANSPORTER, truck.id)
    rival = Listener(system, Role.TRANSPORTER, other.id)
    order = asks.post("/orders", json=an_order("17 Feet")).json()["orderId"]
    offer = fleet.until("new_broadcast", orderId=order)["data"]
    rival.until("new_broadcast", orderId=order)

    held = truck.http.post(f"/broadcasts/{order}/hold", json={"quantity": 1}).json()
    assert held["truckRequestIds"] == offer["truckRequestIds"]
    rival.until("trucks_remaining_update", orderId=order, trucksRemaining=0)
    body = {"vehicleId": other.vehicle, "driverId": str(other.driver)}
    refused = other.http.post(f"/broadcasts/{order}/accept", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "REQUEST_ALREADY_TAKEN")

    named = [{"vehicleId": truck.vehicle, "driverId": str(truck.driver)}]
    won = truck.http.post(f"/holds/{held['holdId']}/confirm", json={"assignments": named}).json()
    (assignment,) = won["assignments"]
    drives = system.http(Role.DRIVER, truck.driver)
    assert drives.post(f"/assignments/{assignment['id']}/accept").status_code == 200

    trip = f"/trips/{assignment['tripId']}"
    assert drives.put(f"{trip}/status", json={"status": "at_pickup"}).status_code == 200
    follows.until("broadcast_state_changed", status="in_progress")
    here = {"latitude": 28.65, "longitude": 77.25, "speed": 40.5, "bearing": 90}
    assert drives.post(f"{trip}/location", json=here).status_code == 204
    seen = follows.until("location_updated")
    assert {name: seen["data"][name] for name in here} == here
    assert seen["data"]["tripId"] == assignment["tripId"] and "seq" not in seen
    stranger = system.http(Role.DRIVER, uuid4()).post(f"{trip}/location", json=here)
    assert (stranger.status_code, stranger.json()["code"]) == (404, "ASSIGNMENT_NOT_FOUND")

    assert drives.put(f"{trip}/status", json={"status": "completed"}).status_code == 200
    follows.until("booking_completed", orderId=order)
    fleet.until("booking_completed", orderId=order)
    eventually(lambda: drives.post(f"{trip}/location", json=here).status_code == 409, within=15)

    steps = asks.get(f"/broadcasts/{order}/timeline").json()["items"]
    assert [step["transition"] for step in steps if step["subject"] == "hold"] == ["hold", "confirm"]
    for socket in (follows, fleet, rival):
        socket.close()
    truck.available(False)
    other.available(False)


def test_a_hold_let_go_is_everybodys_again(system: System) -> None:
    truck, asks = Truck(system), system.http(Role.CUSTOMER, uuid4())
    fleet = Listener(system, Role.TRANSPORTER, truck.id)
    booking = asks.post("/bookings", json=BOOKING).json()["id"]
    fleet.until("new_broadcast", broadcastId=booking)
    held = truck.http.post(f"/broadcasts/{booking}/hold", json={"quantity": 1}).json()
    fleet.until("trucks_remaining_update", trucksRemaining=0)
    released = truck.http.post(f"/holds/{held['holdId']}/release")
    assert (released.status_code, released.json()["status"]) == (200, "released")
    fleet.until("trucks_remaining_update", trucksRemaining=1)
    asks.put(f"/bookings/{booking}/cancel")
    fleet.close()
    truck.available(False)


def test_PRES_02_a_transporter_hears_of_its_drivers(system: System) -> None:
    truck = Truck(system)
    fleet = Listener(system, Role.TRANSPORTER, truck.id)
    drives = system.http(Role.DRIVER, truck.driver)
    assert drives.put("/driver/availability", json={"isAvailable": False}).status_code == 200
    heard = fleet.until("driver_status_changed")["data"]
    assert (heard["driverId"], heard["isOnline"]) == (str(truck.driver), False)
    fleet.close()
    truck.available(False)
