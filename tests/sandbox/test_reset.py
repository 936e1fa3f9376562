"""TRYI-01: a reset deletes everything in the sandbox. Tokens stay valid, and sockets stay open."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from tests.sandbox.sandbox_system import Sandbox
from tests.support.people import BareSocket, Truck
from weelo_client import WeeloError
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import Base
from weelo_workers.models.sandbox import KEPT

pytestmark = pytest.mark.xdist_group("system")


def test_after_a_reset_nothing_is_left_and_the_clock_is_the_plain_one(sandbox: Sandbox) -> None:
    sandbox.fleet("accepts", trucks=2)
    sandbox.book(sandbox.customer(), trucks=2)
    sandbox.advance(3_600)
    answer = sandbox.post("/reset")
    assert (answer.status_code, answer.json()["offsetSeconds"]) == (200, 0)
    tables = [*(set(Base.metadata.tables) - KEPT), "sandbox.fleets", "sandbox.reactions", "sandbox.advances"]
    left = {table: sandbox.rows(f"SELECT count(*) AS rows FROM {table}")[0]["rows"] for table in tables}
    assert {table: rows for table, rows in left.items() if rows} == {}


@pytest.mark.long
def test_a_reset_amid_requests_and_an_advance_ends_both(sandbox: Sandbox) -> None:
    sandbox.fleet("drives", trucks=5)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            try:
                sandbox.book(sandbox.customer())
            except WeeloError:
                continue

    threads = [threading.Thread(target=busy) for _ in range(2)]
    threads.append(threading.Thread(target=lambda: sandbox.post("/clock/advance", {"seconds": 86_400})))
    for thread in threads:
        thread.start()
    for _ in range(5):
        sandbox.reset()
    stop.set()
    for thread in threads:
        thread.join(timeout=90)
        assert not thread.is_alive()
    sandbox.reset()
    sandbox.fleet("accepts", after=1)
    broadcast_id = sandbox.book(sandbox.customer())
    sandbox.advance(2)
    assert sandbox.status(broadcast_id) == "fully_filled"


def test_a_socket_that_was_open_before_a_reset_receives_what_comes_after_it(sandbox: Sandbox) -> None:
    socket = BareSocket(sandbox, Role.CUSTOMER, customer_id := uuid4())
    customer = sandbox.client(Role.CUSTOMER, customer_id)
    sandbox.book(customer)
    last = socket.until("command_settled")["seq"]
    sandbox.reset()
    sandbox.book(customer)
    assert socket.next()["seq"] == last + 1
    socket.close()


def test_a_transporter_can_come_back_after_a_reset(sandbox: Sandbox) -> None:
    truck = Truck(sandbox)
    sandbox.advance(86_400)
    sandbox.reset()
    truck.vehicle = truck.client.register_vehicle("HR 55 X 1234", "open", "17 Feet")["id"]
    truck.client.register_driver(str(truck.driver), "Driver", "+91 98100 00000")
    truck.available(True)
    truck.client.heartbeat(28.6, 77.2)
    broadcast_id = sandbox.book(sandbox.customer())
    assert truck.accept(broadcast_id)["isFullyFilled"]
