"""In the running system, won trucks are given back, replaced and cancelled, and an operator ends a trip."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.people import Listener, Truck, book, refusal
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

OFFERED_WITHIN_SECONDS = 1.0


def post(system: System, role: Role, user: UUID, path: str, **body: Any) -> dict[str, Any]:
    """Post a command over HTTP, without the reference client, and wait for its outcome."""
    answer = system.http(role, user).post(path, json=body, headers={"Prefer": "wait=10"})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def accept_and_drive(system: System, truck: Truck, broadcast: str, status: str) -> dict[str, Any]:
    """Let the truck accept and its driver drive up to this status. Return the assignment."""
    [assignment] = truck.accept(broadcast)["assignments"]
    driver = system.client(Role.DRIVER, truck.driver)
    driver.accept_assignment(assignment["id"])
    return dict(driver.report_trip(assignment["tripId"], status))  # type: ignore[arg-type]


def test_WAYS_02_one_of_five_trucks_breaks_down_and_another_fleet_takes_over(
    system: System,
) -> None:
    trucks = [Truck(system) for _ in range(5)]
    user = uuid4()
    customer = system.client(Role.CUSTOMER, user)
    phone = Listener(customer)
    booking = book(customer, trucks=5)
    trips = [accept_and_drive(system, truck, booking["id"], "en_route_pickup") for truck in trucks]
    full = phone.until("booking_fully_filled", broadcastId=booking["id"])
    saviour = Truck(system)
    rescue, broken = Listener(saviour.client), Listener(trucks[0].client)
    eventually(lambda: customer.booking(booking["id"])["serverTime"] > booking["expiresAt"], within=20)

    given_back = post(
        system,
        Role.DRIVER,
        trucks[0].driver,
        f"/assignments/{trips[0]['id']}/give-back",
        reasonCode="breakdown",
    )
    assert (given_back["status"], given_back["reasonCode"]) == ("given_back", "breakdown")
    lost = phone.until("truck_lost", broadcastId=booking["id"], reoffered=True)
    offer = rescue.until("new_broadcast", broadcastId=booking["id"])
    assert offer.received - lost.received < OFFERED_WITHIN_SECONDS
    assert refusal(lambda: trucks[0].accept(booking["id"])) == (409, "SLOT_GIVEN_BACK")
    assert booking["id"] not in [each["broadcastId"] for each in trucks[0].client.offers()]

    trips[0] = accept_and_drive(system, saviour, booking["id"], "en_route_pickup")
    phone.until("booking_fully_filled", broadcastId=booking["id"])
    for truck, trip in zip([saviour, *trucks[1:]], trips, strict=True):
        system.client(Role.DRIVER, truck.driver).report_trip(trip["tripId"], "completed")
    phone.until("booking_completed", broadcastId=booking["id"])
    shown = customer.booking(booking["id"])
    assert (shown["status"], shown["trucksNeeded"], shown["trucksFilled"]) == ("completed", 5, 5)

    log = trucks[0].client.events()
    assert [line["event"] for line in log].count("new_broadcast") == 1
    seqs = phone.seqs()
    assert full.seq is not None and seqs == list(range(1, len(seqs) + 1))
    for each in (phone, rescue, broken):
        each.close()
    for truck in (*trucks, saviour):
        truck.available(False)


def test_WAYS_01_a_truck_is_cancelled_a_driver_replaced_and_a_trip_ended_by_an_operator(
    system: System,
) -> None:
    trucks = [Truck(system) for _ in range(3)]
    user, spare = uuid4(), uuid4()
    customer = system.client(Role.CUSTOMER, user)
    phone = Listener(customer)
    booking = book(customer, trucks=3)["id"]
    cab = Listener(system.client(Role.DRIVER, trucks[0].driver))
    trips = [accept_and_drive(system, truck, booking, "en_route_pickup") for truck in trucks]

    cancelled = post(
        system, Role.CUSTOMER, user, f"/assignments/{trips[0]['id']}/cancel", reasonCode="plans_changed"
    )
    assert cancelled["assignment"]["status"] == "cancelled"
    assert (cancelled["broadcast"]["status"], cancelled["broadcast"]["trucksNeeded"]) == ("in_progress", 2)
    assert cab.until("trip_cancelled").data["reason"] == "customer_cancelled"

    replaced, failed = trucks[1], trucks[2]
    replaced.client.register_driver(str(spare), "Spare driver", "+91 98100 00001")
    post(system, Role.TRANSPORTER, replaced.id, f"/assignments/{trips[1]['id']}/replace", driverId=str(spare))
    before = system.client(Role.DRIVER, replaced.driver)
    assert refusal(lambda: before.report_trip(trips[1]["tripId"], "at_pickup")) == (409, "DRIVER_REPLACED")
    driver = system.client(Role.DRIVER, spare)
    driver.accept_assignment(trips[1]["id"])
    driver.report_trip(trips[1]["tripId"], "completed")

    system.client(Role.DRIVER, failed.driver).report_trip(trips[2]["tripId"], "in_transit")
    ended = post(
        system,
        Role.ADMIN,
        uuid4(),
        f"/assignments/{trips[2]['id']}/end",
        outcome="failed",
        reasonCode="breakdown",
        note="The goods were moved to another company's truck",
    )
    assert ended["status"] == "failed"
    assert phone.until("truck_lost").data["reoffered"] is False
    phone.until("booking_completed", broadcastId=booking)

    story = customer.timeline(booking)
    details = [entry["details"] for entry in story if entry["transition"] == "end_failed"]
    assert details == [{"reasonCode": "breakdown", "note": "The goods were moved to another company's truck"}]
    for each in (phone, cab):
        each.close()
    for truck in trucks:
        truck.available(False)


def test_the_time_in_a_late_report_is_stored_beside_the_servers_time(system: System) -> None:
    truck = Truck(system)
    customer = system.client(Role.CUSTOMER, uuid4())
    phone = Listener(customer)
    booking = book(customer)["id"]
    trip = accept_and_drive(system, truck, booking, "en_route_pickup")
    occurred = "2026-01-02T03:04:05.678Z"
    http = system.http(Role.DRIVER, truck.driver)
    path, wait = f"/trips/{trip['tripId']}/status", {"Prefer": "wait=10"}
    answer = http.put(path, json={"status": "at_pickup", "occurredAt": occurred}, headers=wait)
    assert answer.status_code == 200, answer.text
    changed = phone.until("assignment_status_changed", occurredAt=occurred)
    assert changed.data["assignment"]["status"] == "at_pickup"
    [entry] = [each for each in customer.timeline(booking) if each["toStatus"] == "at_pickup"]
    assert entry["occurredAt"] == occurred and entry["at"] > occurred
    future = http.put(
        path, json={"status": "in_transit", "occurredAt": "2099-01-01T00:00:00Z"}, headers=wait
    ).json()
    assert (future["code"], future["errors"][0]["field"]) == ("VALIDATION_ERROR", "occurredAt")
    assert customer.booking(booking)["assignments"][0]["status"] == "at_pickup"
    phone.close()
    truck.available(False)


def test_every_role_may_read_the_reason_codes(system: System) -> None:
    for role in Role:
        items = system.http(role, uuid4()).get("/reasons").json()["items"]
        assert {"actor": "driver", "stage": "at_pickup", "code": "breakdown"}.items() <= next(
            each.items()
            for each in items
            if (each["actor"], each["stage"], each["code"]) == ("driver", "at_pickup", "breakdown")
        )
