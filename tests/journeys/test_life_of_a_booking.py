"""One black-box life of a booking through API, mailbox, workers, timers and sockets."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import websocket

from tests.journeys.test_bad_input import BOOKING
from tests.system import System, token
from tests.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")


class Listener:
    """A bare socket client: what a phone would see."""

    def __init__(self, system: System, role: Role, who: UUID) -> None:
        url = system.url.replace("http", "ws", 1) + "/api/v1/ws"
        self.socket = websocket.create_connection(
            url, header=[f"Authorization: Bearer {token(role, who)}"], timeout=15
        )
        self.frames: list[dict[str, Any]] = []
        assert self.next()["event"] == "connected"

    def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.socket.recv())
        self.frames.append(frame)
        return frame

    def until(self, event: str, **data: Any) -> dict[str, Any]:
        while True:
            frame = self.next()
            if frame["event"] == event and all(
                frame["data"].get(name) == value for name, value in data.items()
            ):
                return frame

    def send(self, **frame: Any) -> None:
        self.socket.send(json.dumps(frame))

    def close(self) -> None:
        self.socket.close()


class Truck:
    """A fleet of one truck, online near the pickup of BOOKING."""

    def __init__(self, system: System, north: float = 0.01) -> None:
        self.id, self.driver = uuid4(), uuid4()
        self.http = system.http(Role.TRANSPORTER, self.id)
        vehicle = self.http.put(
            f"/vehicles/HR{self.id.hex[:8]}", json={"vehicleType": "open", "vehicleSubtype": "17 Feet"}
        )
        assert vehicle.status_code == 201, vehicle.text
        self.vehicle = vehicle.json()["id"]
        assert self.http.put(
            f"/drivers/{self.driver}", json={"name": "Driver", "phone": "+91 98100 00000"}
        ).is_success
        self.available(True)
        here = {"latitude": 28.6 + north, "longitude": 77.2}
        assert self.http.post("/transporter/heartbeat", json=here).status_code == 204

    def available(self, wanted: bool) -> None:
        answer = self.http.put("/transporter/availability", json={"isAvailable": wanted})
        assert answer.json()["isAvailable"] is wanted

    def accept(self, broadcast: str) -> httpx.Response:
        body = {"vehicleId": self.vehicle, "driverId": str(self.driver)}
        return self.http.post(f"/broadcasts/{broadcast}/accept", json=body)


def test_a_booking_is_asked_offered_accepted_and_cancelled_and_everyone_hears_of_it(system: System) -> None:
    truck, customer = Truck(system), uuid4()
    asks = system.http(Role.CUSTOMER, customer)
    phone, cab = Listener(system, Role.CUSTOMER, customer), Listener(system, Role.DRIVER, truck.driver)
    fleet = Listener(system, Role.TRANSPORTER, truck.id)

    booking = asks.post("/bookings", json=BOOKING).json()["id"]
    offer = fleet.until("new_broadcast", broadcastId=booking)["data"]
    assert offer["pickupDistanceKm"] < 2 and offer["bookingId"] == booking
    assert [o["broadcastId"] for o in truck.http.get("/offers").json()["items"]] == [booking]

    won = truck.accept(booking).json()
    assert won["isFullyFilled"] and won["status"] == "fully_filled"
    assert phone.until("truck_confirmed")["data"]["assignment"]["vehicleId"] == truck.vehicle
    assert cab.until("trip_assigned")["data"]["pickup"]["lat"] == BOOKING["pickup"]["latitude"]
    assert fleet.until("booking_fully_filled")["data"]["assignedToYou"] == 1
    assert truck.http.get("/offers").json()["items"] == []
    assert asks.get("/broadcasts/current").status_code == 404

    assert (
        asks.put(f"/bookings/{booking}/cancel", json={"reason": "Plans changed"}).json()[
            "assignmentsCancelled"
        ]
        == 1
    )
    assert cab.until("trip_cancelled")["data"]["assignment"]["status"] == "cancelled"
    fleet.until("booking_cancelled", assignedToYou=1)
    phone.until("booking_cancelled")
    states = [f["data"]["status"] for f in phone.frames if f["event"] == "broadcast_state_changed"]
    assert states == ["created", "broadcasting", "active", "fully_filled", "cancelled"]
    seqs = [frame["seq"] for frame in phone.frames if "seq" in frame]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))

    shown = asks.get(f"/bookings/{booking}").json()
    assert (shown["status"], shown["version"], len(shown["assignments"])) == ("cancelled", 5, 1)
    story = asks.get(f"/broadcasts/{booking}/timeline").json()["items"]
    assert [e["toStatus"] for e in story if e["subject"] == "broadcast"] == states
    assert asks.get("/broadcasts").json()["items"][0]["id"] == booking
    log = asks.get("/events?after=0").json()["items"]
    assert [line["seq"] for line in log] == list(range(1, len(log) + 1))
    truck.available(False)
    for socket in (phone, cab, fleet):
        socket.close()


def test_a_socket_that_comes_back_resumes_without_gap_or_repeat(system: System) -> None:
    customer = uuid4()
    asks = system.http(Role.CUSTOMER, customer)
    phone = Listener(system, Role.CUSTOMER, customer)
    booking = asks.post("/bookings", json=BOOKING).json()["id"]
    seen = phone.until("broadcast_state_changed", status="created")["seq"]
    phone.send(op="ack", seq=seen)
    phone.close()
    asks.put(f"/bookings/{booking}/cancel")

    back = Listener(system, Role.CUSTOMER, customer)
    back.send(op="resume", after=seen)
    back.until("command_settled", command="broadcasts.cancel")
    seqs = [frame["seq"] for frame in back.frames if "seq" in frame]
    assert seqs == list(range(seen + 1, seen + 1 + len(seqs)))
    back.close()


def test_a_booking_that_nobody_takes_expires_by_its_timer_and_the_customer_may_ask_again(
    system: System,
) -> None:
    customer = uuid4()
    asks = system.http(Role.CUSTOMER, customer)
    phone = Listener(system, Role.CUSTOMER, customer)
    lonely = {**BOOKING, "vehicleType": "bulker", "vehicleSubtype": "32 Ton"}
    booking = asks.post("/bookings", json=lonely).json()
    told = phone.until("no_vehicles_available")["data"]
    assert (told["broadcastId"], told["reason"], told["retryable"]) == (
        booking["id"],
        "no_transporter_online",
        True,
    )
    late = phone.frames[-1]["at"] > booking["expiresAt"]
    assert late, "the timer came before its time"
    again = asks.post("/bookings", json=lonely)
    assert again.status_code == 201
    asks.put(f"/bookings/{again.json()['id']}/cancel")
    phone.close()


def test_sixty_phones_tap_accept_at_once_and_one_wins(system: System) -> None:
    with ThreadPoolExecutor(16) as pool:
        trucks = list(pool.map(lambda _: Truck(system), range(60)))
    asks = system.http(Role.CUSTOMER, uuid4())
    booking = asks.post("/bookings", json=BOOKING).json()["id"]
    eventually(lambda: asks.get(f"/bookings/{booking}").json()["transportersNotified"] >= 60)
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda truck: truck.accept(booking), trucks))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 59
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"BROADCAST_FILLED"}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda truck: truck.available(False), trucks))


def test_a_command_is_accepted_at_once_and_its_outcome_is_found_later(system: System) -> None:
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
