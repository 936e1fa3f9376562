"""The running system wakes sleeping phones, also after the notifier was killed or while FCM hangs."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from tests.support.fcm_server import FcmServer
from tests.support.people import Listener, Truck, book
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

# No other test requests trucks of these two kinds. Otherwise the requests of other tests would cause pushes to these
# phones.
KIND, ANOTHER_KIND = ("container", "20 Feet"), ("container", "32 Feet")


def test_PUSH_01_a_sleeping_transporter_is_woken_and_one_who_reads_is_not(
    system: System, fcm: FcmServer
) -> None:
    asleep, awake = Truck(system, kind=KIND), Truck(system, kind=KIND)
    phones = {truck: f"phone-of-{truck.id}" for truck in (asleep, awake)}
    for truck, phone in phones.items():
        truck.client.register_device(phone, "android")
    reads = Listener(awake.client)
    booking = book(system.client(Role.CUSTOMER, uuid4()), KIND)["id"]
    reads.until("new_broadcast", broadcastId=booking)
    eventually(lambda: phones[asleep] in fcm.tokens(), within=10)
    time.sleep(3.5)  # without an acknowledgement, a push would be sent 3 s after the frame
    assert phones[awake] not in fcm.tokens(), "a frame that the app acknowledged needs no push"
    assert asleep.client.command("DELETE", f"/devices/{phones[asleep]}").value()["forgotten"]
    reads.close()
    for truck in phones:
        truck.available(False)


@pytest.mark.long
def test_a_push_survives_a_kill_of_the_notifier_and_a_hanging_FCM_delays_no_frame(
    system: System, fcm: FcmServer
) -> None:
    asleep, awake = Truck(system, kind=ANOTHER_KIND), Truck(system, kind=ANOTHER_KIND)
    phone = f"phone-of-{asleep.id}"
    asleep.client.register_device(phone, "android")
    fcm.answers[phone] = ["hang", "hang"]
    reads = Listener(awake.client)
    customer = system.client(Role.CUSTOMER, uuid4())
    booking = book(customer, ANOTHER_KIND)["id"]
    reads.until("new_broadcast", broadcastId=booking)
    eventually(lambda: any(token == phone for _, token in fcm.asked), within=10)
    customer.cancel_booking(booking)
    reads.until("booking_cancelled", broadcastId=booking)
    hanging = [token for _, token in fcm.asked if token == phone]
    assert len(hanging) == 1, "the frame must arrive while FCM is still hanging"
    system.kill("notifications")
    eventually(lambda: phone in fcm.tokens(), within=40)
    reads.close()
    asleep.available(False)
    awake.available(False)
