"""`weelo up` as it starts by default: one worker executes the commands of all queues."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from uuid import UUID, uuid4

import psutil
import pytest

from tests.support.people import Listener, Truck, book
from tests.support.system import SystemWithOneWorker, doctor
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.runtime.embedded import Postgres, Valkey

pytestmark = pytest.mark.xdist_group("system")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemWithOneWorker]:
    data = tmp_path_factory.mktemp("small") / "data"
    settings = {
        "BROADCAST_TIMEOUT_SECONDS": "8",
        "RADIUS_STEP_SECONDS": "1",
        "DATABASE_URL": "",
        "REDIS_URL": "",
    }
    running = SystemWithOneWorker(data, **settings)
    try:
        yield running
    finally:
        running.stop()
        Postgres(data).remove()
        Valkey(data).remove()


def a_filled_and_an_expired_booking(system: SystemWithOneWorker) -> None:
    """Let one booking be filled and cancelled, and another one expire. Assert that the customer's log has no gap."""
    truck, asks = Truck(system), system.client(Role.CUSTOMER, uuid4())
    customer, fleet = Listener(asks), Listener(truck.client)
    booking = book(asks)["id"]
    fleet.until("new_broadcast", broadcastId=booking)
    truck.accept(booking)
    customer.until("truck_confirmed", broadcastId=booking)
    drivers = system.client(Role.DRIVER, truck.driver)
    won = asks.booking(booking)["assignments"][0]["id"]
    assert drivers.accept_assignment(won)["status"] == "driver_accepted"
    fleet.until("assignment_status_changed")
    asks.cancel_booking(booking)
    truck.available(False)
    expired = book(asks)["id"]
    assert (
        customer.until("no_vehicles_available", broadcastId=expired).data["reason"] == "no_transporter_online"
    )
    assert customer.seqs() == list(range(1, len(customer.seqs()) + 1))
    customer.close()
    fleet.close()


def test_one_worker_executes_the_commands_of_all_queues(small: SystemWithOneWorker) -> None:
    a_filled_and_an_expired_booking(small)
    assert doctor(small) == []


@pytest.mark.long
def test_a_killed_worker_is_replaced_and_goes_on(small: SystemWithOneWorker) -> None:
    customer = small.client(Role.CUSTOMER, uuid4())
    [worker, *_] = workers(small)
    os.kill(worker, signal.SIGKILL)
    booking = UUID(book(customer)["id"])
    assert customer.booking(str(booking))["status"] == "active"
    eventually(lambda: workers(small)[0] != worker)
    a_filled_and_an_expired_booking(small)


def test_the_system_is_small(small: SystemWithOneWorker) -> None:
    programs = psutil.Process(small.process.pid).children(recursive=True)
    ours = [each for each in programs if "postgres" not in each.name() and "valkey" not in each.name()]
    assert len(ours) <= 10, [each.cmdline() for each in ours]


def workers(system: SystemWithOneWorker) -> list[int]:
    children = psutil.Process(system.process.pid).children(recursive=True)
    return sorted(child.pid for child in children if "--hostname=workers@%h" in child.cmdline())
