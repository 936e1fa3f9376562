"""Single faults, each with a limit for its effect.

In the ledger test other mechanisms could hide that a limit is exceeded.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.faults.fault_system import FaultSystem
from tests.faults.punctuality import LATE_SECONDS, SHARING_SECONDS
from tests.support.disks import no_room
from tests.support.people import BOOKING, Truck, refusal
from tests.support.system import doctor
from tests.support.waiting import eventually, pid_of
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(180)]

IN_TIME_SECONDS = LATE_SECONDS + SHARING_SECONDS


def ask(fault_system: FaultSystem) -> tuple[str, str]:
    """Send a booking as a new customer, and return (customer id, command id)."""
    customer = uuid4()
    with fault_system.system.http(Role.CUSTOMER, customer) as asks:
        answer = asks.post("/bookings", json=BOOKING, headers={"Prefer": ""})
    assert answer.status_code == 202, answer.text
    return str(customer), answer.json()["commandId"]


def settled(fault_system: FaultSystem, command: str) -> bool:
    return bool(
        fault_system.rows("SELECT 1 FROM mailbox WHERE id = :id AND settled_at IS NOT NULL", id=command)
    )


def booked(fault_system: FaultSystem) -> tuple[str, str]:
    """Book as a new customer, wait until the command is executed, and return (customer id, broadcast id)."""
    customer, command = ask(fault_system)
    eventually(lambda: settled(fault_system, command), within=20)
    return customer, str(
        fault_system.rows("SELECT id FROM broadcasts WHERE customer_id = CAST(:id AS uuid)", id=customer)[
            0
        ].id
    )


def _lateness(fault_system: FaultSystem, broadcasts: list[str]) -> list[float]:
    """Return how many seconds late these broadcasts expired; those not yet expired are left out."""
    ended = fault_system.rows(
        "SELECT EXTRACT(EPOCH FROM state_changed_at - expires_at)::float AS late FROM broadcasts"
        " WHERE status = 'expired' AND id = ANY(CAST(:ids AS uuid[]))",
        ids=broadcasts,
    )
    return [row.late for row in ended]


def test_TIMR_02_a_timer_outlives_a_kill_of_the_worker_that_held_its_countdown(
    fault_system: FaultSystem,
) -> None:
    broadcasts = [booked(fault_system)[1] for _ in range(5)]
    fault_system.shorten_deadlines()
    fault_system.system.kill("timers")

    eventually(lambda: len(_lateness(fault_system, broadcasts)) == 5, within=20)
    assert all(0 <= late < IN_TIME_SECONDS for late in _lateness(fault_system, broadcasts))


def test_commands_are_executed_while_redis_takes_connections_and_does_not_answer(
    fault_system: FaultSystem,
) -> None:
    with fault_system.stopped([pid_of(fault_system.valkey)]):
        commands = [ask(fault_system)[1] for _ in range(3)]
        eventually(lambda: all(settled(fault_system, command) for command in commands), within=30)


def test_TIMR_02_deadlines_are_kept_while_redis_takes_connections_and_does_not_answer(
    fault_system: FaultSystem,
) -> None:
    """The sweep does not use Redis, so it fires timers in time during an outage of Redis."""
    broadcasts = [booked(fault_system)[1] for _ in range(6)]
    with fault_system.stopped([pid_of(fault_system.valkey)]):
        fault_system.shorten_deadlines()
        fault_system.system.kill("timers")  # the countdowns in the killed workers are lost
        eventually(lambda: len(_lateness(fault_system, broadcasts)) == len(broadcasts), within=25)
    late = sorted(_lateness(fault_system, broadcasts))
    print("seconds late:", late)  # noqa: T201
    assert late[0] >= 0 and late[-1] < IN_TIME_SECONDS, late


def test_a_killed_childs_message_is_redelivered_without_the_sweep(
    fault_system: FaultSystem,
) -> None:
    """Beat is stopped, so only the redelivery of the killed child's message can settle the command."""
    eventually(lambda: len(fault_system.system.pids("broadcasts")) == 3, within=20)
    customer, broadcast = booked(fault_system)
    with fault_system.stopped(fault_system.system.pids("beat")):
        with fault_system.engine.begin() as other_transaction:
            other_transaction.execute(
                text("SELECT 1 FROM broadcasts WHERE id = :id FOR UPDATE"), {"id": broadcast}
            )
            with fault_system.system.http(Role.CUSTOMER, customer) as client:  # type: ignore[arg-type]
                cancel = client.put(f"/bookings/{broadcast}/cancel", json={}, headers={"Prefer": ""}).json()
            workers = fault_system.system.pids("broadcasts")

            # Returns a list, because two children may wait for the row: one for the cancellation, one for a
            # `broadcasts.widen`.
            def waiting() -> list[int]:
                return [
                    child
                    for port in fault_system.waiting_for_a_lock()
                    for child in fault_system.holding(workers, port)
                ]

            os.kill(eventually(waiting, within=10)[0], signal.SIGKILL)
        eventually(lambda: settled(fault_system, cancel["commandId"]), within=15)


def test_workers_survive_a_kill_of_redis(fault_system: FaultSystem) -> None:
    """A worker cannot return messages with a countdown to a broker that was killed. The worker must go on running."""
    eventually(lambda: len(fault_system.children()) == len(QUEUES) + 2, within=20)
    booked(fault_system)
    before = fault_system.children()
    fault_system.valkey.kill()
    booked(fault_system)
    eventually(fault_system.redis().ping, within=20)
    booked(fault_system)
    assert fault_system.children() == before


@pytest.mark.long
def test_commands_are_executed_while_the_disk_of_redis_is_full(fault_system: FaultSystem) -> None:
    """Redis refuses all writes, and BRPOP counts as a write. So Celery's workers exit, and are restarted."""
    if fault_system.redis_disk.why_not:
        pytest.skip(fault_system.redis_disk.why_not)
    with fault_system.redis_disk.full():
        eventually(fault_system.redis_takes_nothing, within=10)
        assert fault_system.valkey.start() == fault_system.valkey.url(), (
            "`start` must find the running server"
        )
        booked(fault_system)
        booked(fault_system)
    eventually(lambda: not fault_system.redis_takes_nothing(), within=20)
    booked(fault_system)


def test_commands_accepted_while_the_disk_of_the_database_fills_are_executed_and_the_rest_is_refused(
    fault_system: FaultSystem,
) -> None:
    if fault_system.database_disk.why_not:
        pytest.skip(fault_system.database_disk.why_not)
    answers: list[httpx.Response] = []

    def refused() -> bool:
        with fault_system.system.http(Role.CUSTOMER, uuid4()) as client:
            answers.append(client.post("/bookings", json=BOOKING, headers={"Prefer": ""}))
        return answers[-1].status_code == 503

    with fault_system.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        # VACUUM FULL removes the table's free space, which might suffice for hundreds of rows on a full disk.
        connection.execute(text("VACUUM FULL mailbox"))
    with fault_system.database_disk.full():
        eventually(refused, within=20)
    assert {answer.status_code for answer in answers} <= {202, 503}
    accepted = [answer.json()["commandId"] for answer in answers if answer.status_code == 202]
    eventually(lambda: all(settled(fault_system, command) for command in accepted), within=20)
    booked(fault_system)


@pytest.mark.long
def test_everything_goes_on_while_the_disk_of_the_log_is_full(fault_system: FaultSystem) -> None:
    eventually(lambda: len(fault_system.children()) == len(QUEUES) + 2, within=20)
    before = set(fault_system.children())
    with no_room(fault_system.system.process.pid):
        fault_system.system.kill("timers")
        eventually(lambda: set(fault_system.children()) - before, within=20)
        booked(fault_system)
    assert fault_system.system.process.poll() is None
    # In this test a limit on file sizes simulates a full disk. Processes that were started under the limit keep it.
    # Unlike a full disk, the limit also forbids writes over existing bytes. If such a write ends a worker, the worker
    # is started again without the limit.
    eventually(lambda: len(fault_system.system.pids("timers")) == 3, within=40)
    booked(fault_system)


def test_a_server_that_dies_while_the_disk_is_full_comes_back_when_there_is_room(
    fault_system: FaultSystem,
) -> None:
    def begun_and_not_written() -> bool:
        return any(fault_system.valkey.home.glob("port.*.new"))

    with no_room(fault_system.system.process.pid):
        fault_system.valkey.kill()
        eventually(begun_and_not_written, within=10)
    pid_of(fault_system.valkey)
    booked(fault_system)


class WonTruck:
    """A truck under way to the pickup. Its request has no other slot, and its deadline has passed."""

    def __init__(self, fault_system: FaultSystem) -> None:
        self._on = fault_system
        self.fleet, self.other = Truck(fault_system.system), Truck(fault_system.system)
        self.broadcast = booked(fault_system)[1]
        for fleet in (self.fleet, self.other):
            eventually(partial(self.offers_to, fleet), within=20)
        self.assignment = self.drives(self.fleet, "en_route_pickup")
        with fault_system.engine.begin() as connection:
            connection.execute(
                text("UPDATE broadcasts SET expires_at = clock_timestamp() WHERE id = :id"),
                {"id": self.broadcast},
            )
            connection.execute(
                text(
                    "UPDATE mailbox SET due_at = clock_timestamp(), wake_at = clock_timestamp()"
                    " WHERE name = 'broadcasts.expire' AND payload->>'broadcast_id' = :id"
                ),
                {"id": self.broadcast},
            )
        eventually(lambda: not self.pending("broadcasts.expire"), within=20)

    def drives(self, fleet: Truck, *steps: str) -> str:
        """Let the fleet accept, and its driver accept and report these statuses. Return the assignment's id."""
        (assignment,) = fleet.accept(self.broadcast)["assignments"]
        with self._on.system.http(Role.DRIVER, fleet.driver) as driver:
            driver.post(f"/assignments/{assignment['id']}/accept", json={}).raise_for_status()
            for step in steps:
                reported = driver.put(f"/trips/{assignment['tripId']}/status", json={"status": step})
                reported.raise_for_status()
        return str(assignment["id"])

    def give_back(self) -> str:
        """Let the driver give the truck back, without waiting for the outcome. Return the command's id."""
        with self._on.system.http(Role.DRIVER, self.fleet.driver) as driver:
            answer = driver.post(
                f"/assignments/{self.assignment}/give-back",
                json={"reasonCode": "breakdown"},
                headers={"Prefer": ""},
            )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["commandId"])

    def offers_to(self, fleet: Truck) -> int:
        """Return how often the request was offered to this fleet."""
        return int(
            self._on.rows(
                "SELECT count(*) AS n FROM log_lines l JOIN events e ON e.id = l.event_id"
                " WHERE e.event = 'new_broadcast' AND l.user_id = :fleet AND e.data->>'broadcastId' = :id",
                fleet=fleet.id,
                id=self.broadcast,
            )[0].n
        )

    def pending(self, name: str) -> bool:
        """Return whether a command of this name is unsettled for the request."""
        query = "SELECT 1 FROM mailbox WHERE name = :name AND settled_at IS NULL AND payload->>'broadcast_id' = :id"
        return bool(self._on.rows(query, name=name, id=self.broadcast))

    def state(self) -> Any:
        """Return status, rounds and ring of the request, how many trucks were given back, and whether it has a timer.

        The timer has to be due at the request's deadline.
        """
        return self._on.rows(
            "SELECT status, reoffer_rounds, radius_step,"
            " (SELECT count(*) FROM transitions WHERE broadcast_id = b.id AND name = 'give_back') AS given_back,"
            " EXISTS (SELECT 1 FROM mailbox m WHERE m.name = 'broadcasts.expire' AND m.due_at = b.expires_at"
            "            AND m.payload->>'broadcast_id' = b.id::text) AS ends"
            " FROM broadcasts b WHERE id = :id",
            id=self.broadcast,
        )[0]

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._on.engine.begin() as other_transaction:
            other_transaction.execute(
                text("SELECT 1 FROM broadcasts WHERE id = :id FOR UPDATE"), {"id": self.broadcast}
            )
            yield

    def waiting(self, queue: str) -> list[int]:
        """Return the worker processes of this queue that wait for the lock of a request."""
        workers = self._on.system.pids(queue)
        return [child for port in self._on.waiting_for_a_lock() for child in self._on.holding(workers, port)]

    def kill_waiting(self, queue: str) -> None:
        for pid in eventually(lambda: self.waiting(queue), within=20):
            os.kill(pid, signal.SIGKILL)

    def saved_by_another_fleet(self, command: str) -> None:
        """Assert that the truck was given back once, that the slot was offered again, and that another fleet can take it."""
        eventually(lambda: settled(self._on, command), within=20)
        eventually(lambda: self.offers_to(self.other) == 2, within=20)
        eventually(lambda: self.state().radius_step, within=20)
        state = self.state()
        assert (state.status, state.reoffer_rounds, state.given_back) == ("active", 1, 1)
        assert state.ends, "no timer is due at the new deadline"
        assert self.offers_to(self.fleet) == 1
        assert refusal(lambda: self.fleet.accept(self.broadcast)) == (409, "SLOT_GIVEN_BACK")
        self.drives(self.other, "completed")
        assert self.state().status == "completed"


def test_WAYS_01_a_worker_killed_in_the_transaction_of_a_give_back_leaves_nothing_stuck(
    fault_system: FaultSystem,
) -> None:
    won = WonTruck(fault_system)
    with won.locked():
        command = won.give_back()
        won.kill_waiting("trips")
    won.saved_by_another_fleet(command)


def test_WAYS_01_a_worker_killed_between_commit_and_wake_up_of_a_give_back_leaves_nothing_stuck(
    fault_system: FaultSystem,
) -> None:
    """Redis is suspended before the commit. So the worker is killed while it tries to send the wake-up for the new offer."""
    won = WonTruck(fault_system)
    with ExitStack() as redis_stopped:
        with won.locked():
            command = won.give_back()
            (worker,) = eventually(lambda: won.waiting("trips"), within=20)
            redis_stopped.enter_context(fault_system.stopped([pid_of(fault_system.valkey)]))
        eventually(lambda: settled(fault_system, command), within=20)
        os.kill(worker, signal.SIGKILL)
    won.saved_by_another_fleet(command)


@pytest.mark.parametrize(
    ("queue", "name"), [("broadcasts", "broadcasts.reoffer"), ("timers", "broadcasts.widen")]
)
def test_WAYS_02_a_worker_killed_while_it_offers_the_reopened_slot_leaves_nothing_stuck(
    fault_system: FaultSystem, queue: str, name: str
) -> None:
    """The workers of the queue are suspended until the request is locked. Then they wait for this lock, and are killed."""
    won = WonTruck(fault_system)
    with fault_system.stopped(fault_system.system.pids("beat")), ExitStack() as lock:
        with fault_system.stopped(fault_system.system.pids(queue)):
            command = won.give_back()
            eventually(lambda: won.pending(name), within=20)
            lock.enter_context(won.locked())
        won.kill_waiting(queue)
    won.saved_by_another_fleet(command)


def test_CNCL_05_afterwards_nothing_is_left_and_the_doctor_finds_nothing(fault_system: FaultSystem) -> None:
    fault_system.shorten_deadlines()
    eventually(
        lambda: not fault_system.rows("SELECT 1 FROM mailbox WHERE settled_at IS NULL"), within=40, every=0.2
    )
    eventually(lambda: not doctor(fault_system.system), within=30, every=1.0)
