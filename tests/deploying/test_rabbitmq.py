"""A real RabbitMQ as the broker: commands, timers, priorities, and an outage."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.deploying.beat import beat_stopped
from tests.support import rabbitmq
from tests.support.people import UNAVAILABLE_KIND, Listener, Truck, book
from tests.support.programs import weelo_here
from tests.support.rabbitmq import RabbitMQ
from tests.support.servers import ON_RABBITMQ, own_database, own_redis
from tests.support.system import System, SystemWithOneWorker, doctor
from tests.support.tls import Authority, TlsProxy
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.messaging.rabbitmq import fault
from weelo_workers.redis_client import connect

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("rabbitmq"),
    pytest.mark.skipif(not rabbitmq.is_installed(), reason="Debian's rabbitmq-server is not installed"),
]

# A program that sends messages to a queue without a worker, and prints their commands' names in the order in which a worker
# would take the messages. It runs in a process of its own, because a process reads its settings only once.
PRIORITIES = """
from uuid import uuid4
from weelo_workers.app import app
from weelo_workers.contracts.broadcasts import Backfill, OfferLate
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.wakeup import WakeUp
with app.connection_for_write() as connection:
    app.amqp.queues["priorities"](connection.default_channel).declare()
waker = CeleryWaker()
for command in (Backfill, OfferLate, SetAvailability):
    waker.wake(WakeUp(uuid4(), command.name, "priorities"))
with app.connection_for_read() as connection:
    for _ in range(3):
        print(connection.default_channel.basic_get("priorities", no_ack=True).headers["task"])
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitMQ]:
    server = RabbitMQ()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def system(broker: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = SystemWithOneWorker(
        tmp_path_factory.mktemp("on rabbitmq") / "data",
        DATABASE_URL=own_database(ON_RABBITMQ),
        REDIS_URL=own_redis(ON_RABBITMQ),
        CELERY_BROKER_URL=broker.url,
        BROADCAST_TIMEOUT_SECONDS="8",
        RADIUS_STEP_SECONDS="1",
    )
    yield running
    running.stop()


def test_wake_ups_and_timers_come_through_rabbitmq(system: System) -> None:
    truck = Truck(system)
    customer, other = (system.client(Role.CUSTOMER, uuid4()) for _ in range(2))
    phone = Listener(other)
    with beat_stopped(system):
        booking = book(customer)["id"]
        assert truck.accept(booking)["status"] == "fully_filled"
        lonely = book(other, UNAVAILABLE_KIND)["id"]
        phone.until("no_vehicles_available", broadcastId=lonely)
    phone.close()
    truck.available(False)
    assert doctor(system) == []
    broker_keys = connect(own_redis(ON_RABBITMQ)).keys("weelo:celery:*")
    assert broker_keys == [], "Celery uses Redis as well"


def test_commands_are_executed_while_rabbitmq_is_down_and_it_is_used_again_afterwards(
    system: System, broker: RabbitMQ
) -> None:
    truck, again = Truck(system), Truck(system)
    customers = [system.client(Role.CUSTOMER, uuid4()) for _ in range(3)]
    phone = Listener(customers[1])
    # This booking is made before the broker is killed, so a worker holds the countdowns of the booking's timers.
    before = book(customers[0])["id"]
    broker.kill()
    assert truck.accept(before)["status"] == "fully_filled"
    lonely = book(customers[1], UNAVAILABLE_KIND)["id"]
    found = doctor(system)
    assert any("CELERY_BROKER_URL: RabbitMQ cannot be used: " in line for line in found), found
    phone.until("no_vehicles_available", broadcastId=lonely)
    phone.close()

    broker.start()

    def settled() -> bool:
        assert doctor(system) == []
        return True

    eventually(settled, within=30)

    def works_without_beat() -> bool:
        with beat_stopped(system):
            again.client.set_availability(True)
        return True

    eventually(works_without_beat, within=30)
    with beat_stopped(system):
        booking = book(customers[2])["id"]
        assert again.accept(booking)["status"] == "fully_filled"
    again.available(False)


def test_a_user_s_command_is_taken_before_those_that_no_user_waits_for(broker: RabbitMQ) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRIORITIES],
        env={**os.environ, "CELERY_BROKER_URL": broker.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.split() == ["fleet.set_availability", "broadcasts.offer_late", "broadcasts.backfill"]


def test_a_rabbitmq_whose_certificate_is_not_trusted_is_not_used(broker: RabbitMQ, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with TlsProxy(broker.url, authority.certificate("127.0.0.1")) as proxy:
        address = f"amqps://guest:guest@127.0.0.1:{proxy.port}//"
        assert "CERTIFICATE_VERIFY_FAILED" in str(fault(address))
        assert proxy.received == b""
        assert fault(f"{address}?ssl_ca_certs={authority.file}") is None
    with TlsProxy(broker.url, authority.certificate("elsewhere.example")) as proxy:
        address = f"amqps://guest:guest@127.0.0.1:{proxy.port}//?ssl_ca_certs={authority.file}"
        assert "CERTIFICATE_VERIFY_FAILED" in str(fault(address))


def test_the_doctor_names_the_cause_of_a_refused_login(broker: RabbitMQ) -> None:
    found = weelo_here("doctor", CELERY_BROKER_URL=broker.url.replace("guest:guest", "guest:wrong"))
    assert "CELERY_BROKER_URL: RabbitMQ cannot be used: " in found.stdout and "ACCESS_REFUSED" in found.stdout
    assert "wrong" not in found.stdout
