"""Black-box tests of bookings through API, mailbox, workers, timers and sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.people import BOOKING, PICKUP, UNAVAILABLE_KIND, BareSocket, Listener, Truck, book
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_client import Rejected
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")


def test_a_booking_is_asked_offered_accepted_and_cancelled_and_everyone_hears_of_it(system: System) -> None:
    truck = Truck(system)
    customer, driver = system.client(Role.CUSTOMER, uuid4()), system.client(Role.DRIVER, truck.driver)
    phone, cab, fleet = Listener(customer), Listener(driver), Listener(truck.client)

    booking = book(customer)["id"]
    offer = fleet.until("new_broadcast", broadcastId=booking).data
    assert offer["pickupDistanceKm"] < 2 and offer["bookingId"] == booking
    assert [o["broadcastId"] for o in truck.client.offers()] == [booking]

    won = truck.accept(booking)
    assert won["isFullyFilled"] and won["status"] == "fully_filled"
    assert phone.until("truck_confirmed").data["assignment"]["vehicleId"] == truck.vehicle
    assert cab.until("trip_assigned").data["pickup"]["lat"] == PICKUP["latitude"]
    assert fleet.until("booking_fully_filled").data["assignedToYou"] == 1
    assert truck.client.offers() == []
    assert customer.current_broadcast() is None

    assert customer.cancel_booking(booking, "Plans changed")["assignmentsCancelled"] == 1
    assert cab.until("trip_cancelled").data["assignment"]["status"] == "cancelled"
    fleet.until("booking_cancelled", assignedToYou=1)
    phone.until("booking_cancelled")
    states = [f.data["status"] for f in phone.frames if f.event == "broadcast_state_changed"]
    assert states == ["created", "broadcasting", "active", "fully_filled", "cancelled"]
    assert phone.seqs() == list(range(1, len(phone.seqs()) + 1))

    shown = customer.booking(booking)
    assert (shown["status"], shown["version"], len(shown["assignments"])) == ("cancelled", 5, 1)
    story = customer.timeline(booking)
    assert [e["toStatus"] for e in story if e["subject"] == "broadcast"] == states
    assert customer.broadcasts()[0]["id"] == booking
    log = customer.events()
    assert [line["seq"] for line in log] == list(range(1, len(log) + 1))
    truck.available(False)
    for each in (phone, cab, fleet):
        assert each.channel.reconnects == 0
        each.close()


def test_an_app_that_was_closed_hears_what_it_missed_and_no_more(system: System) -> None:
    user_id = uuid4()
    customer = system.client(Role.CUSTOMER, user_id)
    phone = Listener(customer)
    booking = book(customer)["id"]
    seen = phone.until("broadcast_state_changed", status="created").seq
    assert seen is not None
    phone.close()
    customer.cancel_booking(booking)

    back = Listener(customer, after=seen)
    back.until("command_settled", command="broadcasts.cancel")
    assert back.seqs() == list(range(seen + 1, seen + 1 + len(back.seqs())))
    back.close()

    # A bare socket shows every line as it was sent. The reference client would hide repeated lines and request missing ones.
    bare = BareSocket(system, Role.CUSTOMER, user_id)
    bare.say(op="resume", after=seen)
    bare.until("command_settled", command="broadcasts.cancel")
    assert [frame["seq"] for frame in bare.frames if "seq" in frame] == back.seqs()
    bare.close()


def test_a_booking_that_nobody_takes_expires_by_its_timer_and_the_customer_may_ask_again(
    system: System,
) -> None:
    customer = system.client(Role.CUSTOMER, uuid4())
    phone = Listener(customer)
    booking = book(customer, UNAVAILABLE_KIND)
    ended = phone.until("no_vehicles_available")
    assert (ended.data["broadcastId"], ended.data["reason"], ended.data["retryable"]) == (
        booking["id"],
        "no_transporter_online",
        True,
    )
    assert ended.at is not None and ended.at > booking["expiresAt"], "the timer acted too early"
    again = book(customer, UNAVAILABLE_KIND)
    assert again["id"] != booking["id"]
    customer.cancel_booking(again["id"])
    phone.close()


def test_sixty_phones_tap_accept_at_once_and_one_wins(system: System) -> None:
    with ThreadPoolExecutor(16) as pool:
        trucks = list(pool.map(lambda _: Truck(system), range(60)))
    customer = system.client(Role.CUSTOMER, uuid4())
    booking = book(customer)["id"]
    # A step offers to a limited number of transporters, and may choose transporters of other tests first. So some of
    # these trucks may get the offer only in a later step.
    eventually(lambda: all(truck.has_offer(booking) for truck in trucks), within=20)

    def tap(truck: Truck) -> tuple[int, str]:
        try:
            return 200, truck.accept(booking)["status"]
        except Rejected as refused:
            return refused.status, refused.code

    with ThreadPoolExecutor(60) as pool:
        answers = sorted(pool.map(tap, trucks))
    assert answers == [(200, "fully_filled")] + [(409, "BROADCAST_FILLED")] * 59
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda truck: truck.available(False), trucks))


def test_a_command_is_accepted_at_once_and_its_outcome_is_found_later(system: System) -> None:
    """This uses bare HTTP, because it checks the form of the 202 and of the outcome."""
    customer = uuid4()
    asks = system.http(Role.CUSTOMER, customer)
    accepted = asks.post("/bookings", json=BOOKING, headers={"Prefer": "respond-async"})
    body = accepted.json()
    assert (accepted.status_code, body["command"], body["status"]) == (
        202,
        "broadcasts.create_booking",
        "pending",
    )
    assert accepted.headers["Location"] == f"/api/v1/commands/{body['commandId']}"

    def settled() -> dict[str, Any] | None:
        outcome: dict[str, Any] = asks.get(f"/commands/{body['commandId']}").json()
        return outcome if outcome["status"] != "pending" else None

    outcome = eventually(settled)
    assert (outcome["status"], outcome["httpStatus"], outcome["replayed"]) == ("succeeded", 201, False)
    assert "error" not in outcome
    asks.put(f"/bookings/{outcome['result']['id']}/cancel")


def test_the_documents_and_probes_are_served(system: System) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/docs"):
        answer = httpx.get(system.url + path, follow_redirects=True)
        assert answer.status_code == 200, path
    assert 'weelo_queue_depth{queue="offers"}' in httpx.get(f"{system.url}/metrics").text
