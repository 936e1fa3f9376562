"""Phones that sleep are woken by the running system, also when the notifier was killed meanwhile or FCM hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import own_database, own_redis
from tests.people import Listener, Truck, book
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
        truck.client.register_device(phone, "android")
    reads = Listener(awake.client)
    customer = pushing.client(Role.CUSTOMER, uuid4())
    booking = book(customer)["id"]
    reads.until("new_broadcast", broadcastId=booking)
    eventually(lambda: phones[asleep] in fcm.tokens(), within=10)
    time.sleep(3.5)  # the time that a socket has; there is no sign of a push that is not sent
    assert phones[awake] not in fcm.tokens(), "the app has acknowledged it"
    assert asleep.client.command("DELETE", f"/devices/{phones[asleep]}").value()["forgotten"]
    customer.cancel_booking(booking)
    reads.until("booking_cancelled", broadcastId=booking)
    reads.close()
    for truck in phones:
        truck.available(False)


def test_a_push_outlives_its_notifier_and_nobody_waits_for_a_hanging_FCM(
    pushing: System, fcm: FcmServer
) -> None:
    asleep, awake = Truck(pushing), Truck(pushing)
    phone = f"phone-of-{asleep.id}"
    asleep.client.register_device(phone, "android")
    fcm.answers[phone] = ["hang", "hang"]
    reads = Listener(awake.client)
    customer = pushing.client(Role.CUSTOMER, uuid4())
    booking = book(customer)["id"]
    reads.until("new_broadcast", broadcastId=booking)
    eventually(lambda: any(token == phone for _, token in fcm.asked), within=10)
    customer.cancel_booking(booking)
    reads.until("booking_cancelled", broadcastId=booking)
    hanging = [token for _, token in fcm.asked if token == phone]
    assert len(hanging) == 1, "the frame has come while FCM was still hanging"
    pushing.kill("notifications")
    eventually(lambda: phone in fcm.tokens(), within=40)
    reads.close()
    asleep.available(False)
    awake.available(False)
