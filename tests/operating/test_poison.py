"""Commands that always fail or crash, in a running system with workers, the sweep and the operator's commands."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.operating.rows import Rows
from tests.support.people import BOOKING, Listener, Truck, book
from tests.support.system import System, doctor
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("operated")

# The pause between two customers leaves processor time to other tests.
BETWEEN_CUSTOMERS_SECONDS = 0.3

WRITE = """
    INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at)
    VALUES (:id, :name, :queue, CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp())
"""


def write(rows: Rows, name: str, queue: str, payload: Any, *, as_id: UUID | None = None) -> UUID:
    poison = as_id or uuid4()
    rows(WRITE, id=poison, name=name, queue=queue, payload=json.dumps(payload))
    return poison


@pytest.mark.long
def test_poison_of_every_queue_is_parked_while_everybody_is_served(operated: System, rows: Rows) -> None:
    truck, customer = Truck(operated), uuid4()
    fleet, asks = Listener(truck.client), operated.client(Role.CUSTOMER, customer)
    poison = [
        write(rows, "broadcasts.create_booking", "broadcasts", {"customer_id": str(customer)}),
        write(rows, "offers.accept", "offers", {"trucks": "all"}),
        write(rows, "trips.advance", "trips", []),
        write(rows, "fleet.register_vehicle", "fleet", {"vehicle_number": None}),
        write(rows, "notifications.deliver", "notifications", {"events": 7}),
        write(rows, "notifications.push", "notifications", {"to": "everyone"}),
        # Another version has stored an event that this version does not know.
        write(
            rows,
            "notifications.deliver",
            "notifications",
            {
                "events": [
                    {"id": str(uuid4()), "event": "FromTheFuture", "at": "2026-01-01T00:00:00Z", "data": {}}
                ],
            },
        ),
    ]

    def parked() -> int:
        query = (
            "SELECT count(*) AS n FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[])) AND parked_at IS NOT NULL"
        )
        return int(rows(query, ids=poison)[0].n)

    served, give_up_at = 0, time.monotonic() + 45
    while parked() < len(poison):
        assert time.monotonic() < give_up_at, rows(
            "SELECT name, attempts, last_error FROM mailbox WHERE last_error IS NOT NULL"
        )
        booking = book(asks)["id"]
        fleet.until("new_broadcast", broadcastId=booking)
        assert asks.cancel_booking(booking)["broadcast"]["status"] == "cancelled"
        fleet.until("booking_cancelled", broadcastId=booking)
        served += 1
        time.sleep(BETWEEN_CUSTOMERS_SECONDS)
    assert served > 3
    attempts = rows("SELECT attempts FROM mailbox WHERE parked_at IS NOT NULL")
    assert {row.attempts for row in attempts} == {5}
    log = asks.events(limit=500)
    assert [line["seq"] for line in log] == list(range(1, len(log) + 1))

    findings = doctor(operated)
    for each in poison:
        assert any(str(each) in line and line.startswith("parked: ") for line in findings), findings
    listed = operated.weelo("mailbox", "parked").stdout
    assert all(str(each) in listed for each in poison)
    shown = json.loads(operated.weelo("mailbox", "show", str(poison[0])).stdout)
    assert shown["payload"] == {"customer_id": str(customer)} and shown["attempts"] == 5

    # After the row was repaired by hand, one retry settles the command.
    good = {"transporter_id": str(truck.id)}
    rows(
        "UPDATE mailbox SET name = 'fleet.sync_presence', payload = CAST(:good AS jsonb) WHERE id = :id",
        good=json.dumps(good),
        id=poison[3],
    )
    unknown, settled = uuid4(), rows("SELECT id FROM mailbox WHERE settled_at IS NOT NULL LIMIT 1")[0].id
    tried = operated.weelo("mailbox", "retry", str(poison[3]), str(poison[0]), str(unknown), str(settled))
    assert tried.returncode == 1
    assert tried.stdout.splitlines() == [
        f"{poison[3]}: fleet.sync_presence is tried again",
        f"{poison[0]}: broadcasts.create_booking is tried again",
    ]
    assert f"{unknown}: is not in the mailbox" in tried.stderr and f"{settled}: " in tried.stderr
    eventually(
        lambda: rows("SELECT 1 FROM mailbox WHERE id = :id AND settled_at IS NOT NULL", id=poison[3]),
        within=15,
    )
    again = "SELECT 1 FROM mailbox WHERE id = :id AND attempts > 0 AND parked_at IS NULL"
    eventually(lambda: rows(again, id=poison[0]), within=15)
    assert operated.weelo("mailbox", "retry", "not-an-id").returncode == 2
    rows("DELETE FROM mailbox WHERE attempts > 0 AND settled_at IS NULL")
    fleet.close()
    truck.available(False)


def test_a_command_that_kills_its_process_is_counted_and_parked_while_everybody_is_served(
    operated: System, rows: Rows
) -> None:
    """A command crashes a worker's child process, a delivery crashes the notifier, and a timer crashes beat.

    The timer is never parked. The other two are parked after five crashes.
    """
    customer = uuid4()
    asks = operated.http(Role.CUSTOMER, customer)

    def deadly() -> UUID:  # deadly/sitecustomize.py makes these commands fatal
        return UUID(f"{str(uuid4())[:-4]}dead")

    def event_payload(*events: str) -> dict[str, Any]:
        envelopes = [
            {"id": str(uuid4()), "event": event, "at": "2026-01-01T00:00:00Z", "data": {}} for event in events
        ]
        return {"events": envelopes}

    command = write(
        rows, "broadcasts.catch_up", "broadcasts", {"transporter_id": str(uuid4())}, as_id=deadly()
    )
    delivery = write(rows, "notifications.deliver", "notifications", event_payload("Deadly"))
    behind = write(rows, "notifications.deliver", "notifications", event_payload())
    timer = write(rows, "broadcasts.expire", "timers", {"broadcast_id": str(uuid4())}, as_id=deadly())
    poison = [command, delivery, timer]

    def standing(*ids: UUID) -> list[Any]:
        query = (
            "SELECT *, now() AS now FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY received_at"
        )
        return rows(query, ids=list(ids))

    def has_heard(cancellations: int) -> bool:
        query = """SELECT FROM log_lines l JOIN events e ON e.id = l.event_id
                    WHERE user_id = :who AND event = 'booking_cancelled'"""
        return len(rows(query, who=customer)) == cancellations

    served, beats, give_up_at = 0, set(operated.pids("beat")), time.monotonic() + 90
    while not all(row.parked_at for row in standing(command, delivery)):
        assert time.monotonic() < give_up_at, standing(*poison)
        booking = asks.post("/bookings", json=BOOKING).json()["id"]
        assert asks.put(f"/bookings/{booking}/cancel").status_code == 200
        served += 1
        eventually(partial(has_heard, served), within=30, every=0.1)
        beats.update(operated.pids("beat"))
        time.sleep(BETWEEN_CUSTOMERS_SECONDS)
    assert served > 3
    for row in standing(command, delivery):
        assert row.crashes == 5 and "may have crashed" in row.last_error
    [goes_on] = standing(timer)
    assert goes_on.parked_at is None and goes_on.crashes >= 3 and goes_on.retry_at > goes_on.now
    # The timer crashes beat twice. One more crash is permitted: if a worker restarts slowly, two wake-ups may have no
    # effect before its first crash is counted. Beat then executes the command itself, and crashes.
    assert len(beats) <= 6, "beat must leave commands that may crash it to the workers"
    eventually(lambda: standing(behind)[0].settled_at, within=30)
    rows("DELETE FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[]))", ids=poison)


@pytest.mark.long
def test_a_timer_that_always_fails_makes_no_other_late(operated: System, rows: Rows) -> None:
    poison = [write(rows, "broadcasts.expire", "timers", {"broadcast_id": "none"}) for _ in range(50)]
    asks = operated.client(Role.CUSTOMER, uuid4())
    booking = book(asks)["id"]
    eventually(lambda: asks.booking(booking)["status"] == "expired", within=15)
    [late] = rows(
        "SELECT EXTRACT(EPOCH FROM state_changed_at - expires_at) AS late FROM broadcasts WHERE id = :id",
        id=booking,
    )
    assert 0 <= late.late < 2
    tries = rows("SELECT attempts, parked_at FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[]))", ids=poison)
    assert all(1 <= row.attempts <= 5 and row.parked_at is None for row in tries)
    assert any(line.startswith("failing: broadcasts.expire") for line in doctor(operated))
    rows("DELETE FROM mailbox WHERE id = ANY(CAST(:ids AS uuid[]))", ids=poison)


def test_a_line_about_a_failed_command_names_the_request(operated: System, rows: Rows) -> None:
    poison, own_id = uuid4(), f"request-{uuid4()}"
    rows(
        "INSERT INTO mailbox (id, name, queue, payload, request_id, due_at, wake_at)"
        " VALUES (:id, 'trips.advance', 'trips', '[]', :own_id, clock_timestamp(), clock_timestamp())",
        id=poison,
        own_id=own_id,
    )
    eventually(lambda: f" request_id={own_id}" in "".join(operated.printed), within=15)
    assert json.loads(operated.weelo("mailbox", "show", str(poison)).stdout)["request_id"] == own_id
    rows("DELETE FROM mailbox WHERE id = :id", id=poison)
