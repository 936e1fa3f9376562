"""Phones that sleep are woken by the running system, also when the notifier was killed meanwhile or FCM hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import own_database, own_redis
from tests.journeys.test_bad_input import BOOKING
from tests.journeys.test_life_of_a_booking import Listener, Truck
from tests.push.fcm_server import FcmServer
from tests.system import System
from tests.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("pushes")


@pytest.fixture(scope="module")
def fcm() -> Iterator[FcmServer]:
    server = FcmServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def pushing(fcm: FcmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(
        Path(tmp_path_factory.mktemp("pushing")),
        DATABASE_URL=own_database(31),
        REDIS_URL=own_redis(31),
        FCM_ENDPOINT=fcm.url,
        RADIUS_STEP_SECONDS="3600",
    )
    yield system
    system.stop()


def test_PUSH_01_a_sleeping_transporter_is_woken_and_one_who_reads_is_not(
    pushing: System, fcm: FcmServer
) -> None:
    asleep, awake = Truck(pushing), Truck(pushing)
    phones = {truck: f"phone-of-{truck.id}" for truck in (asleep, awake)}
    for truck, phone in phones.items():
        assert truck.http.put(f"/devices/{phone}", json={"platform": "android"}).status_code == 200
    reads = Listener(pushing, Role.TRANSPORTER, awake.id)
    asks = pushing.http(Role.CUSTOMER, uuid4())
    booking = asks.post("/bookings", json=BOOKING).json()["id"]
    reads.send(op="ack", seq=reads.until("new_broadcast", broadcastId=booking)["seq"])
    eventually(lambda: phones[asleep] in fcm.tokens(), within=10)
    time.sleep(3.5)  # the time that a socket has; there is no sign of a push that is not sent
    assert phones[awake] not in fcm.tokens()
    assert asleep.http.delete(f"/devices/{phones[asleep]}").json()["forgotten"]
    asks.put(f"/bookings/{booking}/cancel")
    reads.send(op="ack", seq=reads.until("booking_cancelled", broadcastId=booking)["seq"])
    reads.close()
    for truck in phones:
        truck.available(False)


def test_a_push_outlives_its_notifier_and_nobody_waits_for_a_hanging_FCM(
    pushing: System, fcm: FcmServer
) -> None:
    asleep, awake = Truck(pushing), Truck(pushing)
    phone = f"phone-of-{asleep.id}"
    asleep.http.put(f"/devices/{phone}", json={"platform": "android"})
    fcm.answers[phone] = ["hang", "hang"]
    reads = Listener(pushing, Role.TRANSPORTER, awake.id)
    asks = pushing.http(Role.CUSTOMER, uuid4())
    booking = asks.post("/bookings", json=BOOKING).json()["id"]
    reads.until("new_broadcast", broadcastId=booking)
    eventually(lambda: any(token == phone for _, token in fcm.asked), within=10)
    asks.put(f"/bookings/{booking}/cancel")
    reads.until("booking_cancelled", broadcastId=booking)
    hanging = [token for _, token in fcm.asked if token == phone]
    assert len(hanging) == 1, "the frame has come while FCM was still hanging"
    pushing.kill("notifications")
    eventually(lambda: phone in fcm.tokens(), within=40)
    reads.close()
    asleep.available(False)
    awake.available(False)
