"""Single faults, each with what it must not do: what the ledger cannot see, since something else makes up for it there."""

from __future__ import annotations

import os
import signal
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.faults.disks import no_room
from tests.faults.punctuality import LATE_SECONDS, SHARING_SECONDS
from tests.faults.stage import Stage
from tests.people import BOOKING
from tests.system import doctor
from tests.waiting import eventually, pid_of
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.contracts.statuses import Role

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(180)]

IN_TIME_SECONDS = LATE_SECONDS + SHARING_SECONDS


def ask(stage: Stage) -> tuple[str, str]:
    """A booking by a new customer, accepted: (customer, command)."""
    customer = uuid4()
    with stage.system.http(Role.CUSTOMER, customer) as asks:
        answer = asks.post("/bookings", json=BOOKING, headers={"Prefer": ""})
    assert answer.status_code == 202, answer.text
    return str(customer), answer.json()["commandId"]


def settled(stage: Stage, command: str) -> bool:
    return bool(stage.rows("SELECT 1 FROM mailbox WHERE id = :id AND settled_at IS NOT NULL", id=command))


def booked(stage: Stage) -> tuple[str, str]:
    """A booking that is there: (customer, broadcast)."""
    customer, command = ask(stage)
    eventually(lambda: settled(stage, command), within=20)
    return customer, str(
        stage.rows("SELECT id FROM broadcasts WHERE customer_id = CAST(:id AS uuid)", id=customer)[0].id
    )


def _lateness(stage: Stage, broadcasts: list[str]) -> list[float]:
    """Of those that have expired, in seconds."""
    ended = stage.rows(
        "SELECT EXTRACT(EPOCH FROM state_changed_at - expires_at)::float AS late FROM broadcasts"
        " WHERE status = 'expired' AND id = ANY(CAST(:ids AS uuid[]))",
        ids=broadcasts,
    )
    return [row.late for row in ended]


def test_TIMR_02_a_timer_outlives_a_kill_of_the_worker_that_held_its_countdown(stage: Stage) -> None:
    broadcasts = [booked(stage)[1] for _ in range(5)]
    stage.hurry()
    stage.system.kill("timers")

    eventually(lambda: len(_lateness(stage, broadcasts)) == 5, within=20)
    assert all(0 <= late < IN_TIME_SECONDS for late in _lateness(stage, broadcasts))


def test_commands_are_executed_while_redis_takes_connections_and_does_not_answer(stage: Stage) -> None:
    with stage.stopped([pid_of(stage.valkey)]):
        commands = [ask(stage)[1] for _ in range(3)]
        eventually(lambda: all(settled(stage, command) for command in commands), within=30)


def test_TIMR_02_deadlines_are_kept_while_redis_takes_connections_and_does_not_answer(stage: Stage) -> None:
    """An outage of Redis is no excuse: the second clock waits for nobody."""
    broadcasts = [booked(stage)[1] for _ in range(6)]
    with stage.stopped([pid_of(stage.valkey)]):
        stage.hurry()
        stage.system.kill("timers")  # and with it the countdowns
        eventually(lambda: len(_lateness(stage, broadcasts)) == len(broadcasts), within=25)
    late = sorted(_lateness(stage, broadcasts))
    print("seconds late:", late)  # noqa: T201
    assert late[0] >= 0 and late[-1] < IN_TIME_SECONDS, late


def test_a_killed_childs_message_is_given_to_another_without_the_second_clock(stage: Stage) -> None:
    """Otherwise each such death would cost its command the second that the sweep grants the bell."""
    eventually(lambda: len(stage.system.pids("broadcasts")) == 3, within=20)
    customer, broadcast = booked(stage)
    with stage.stopped(stage.system.pids("beat")):
        with stage.engine.begin() as somebody:
            somebody.execute(text("SELECT 1 FROM broadcasts WHERE id = :id FOR UPDATE"), {"id": broadcast})
            with stage.system.http(Role.CUSTOMER, customer) as client:  # type: ignore[arg-type]
                cancel = client.put(f"/bookings/{broadcast}/cancel", json={}, headers={"Prefer": ""}).json()
            workers = stage.system.pids("broadcasts")

            def waiting() -> list[int]:  # a ring may wait for the same row, in another worker
                return [
                    child for port in stage.waiting_for_a_lock() for child in stage.holding(workers, port)
                ]

            os.kill(eventually(waiting, within=10)[0], signal.SIGKILL)
        eventually(lambda: settled(stage, cancel["commandId"]), within=15)


def test_workers_outlive_the_end_of_redis(stage: Stage) -> None:
    """With countdowns in their hands: what they cannot hand back is no reason to give up."""
    eventually(lambda: len(stage.children()) == len(QUEUES) + 2, within=20)
    booked(stage)
    before = stage.children()
    stage.valkey.kill()
    booked(stage)
    eventually(stage.redis().ping, within=20)
    booked(stage)
    assert stage.children() == before


def test_commands_are_executed_while_the_disk_of_redis_is_full(stage: Stage) -> None:
    """Whatever changes something is refused, also taking a message. Celery's workers end of that; they come back."""
    if stage.redis_disk.why_not:
        pytest.skip(stage.redis_disk.why_not)
    with stage.redis_disk.full():
        eventually(stage.redis_takes_nothing, within=10)
        assert stage.valkey.start() == stage.valkey.url(), "it runs, and is taken over"
        booked(stage)
        booked(stage)
    eventually(lambda: not stage.redis_takes_nothing(), within=20)
    booked(stage)


def test_what_is_accepted_while_the_disk_of_the_database_fills_is_done_and_the_rest_is_refused(
    stage: Stage,
) -> None:
    if stage.database_disk.why_not:
        pytest.skip(stage.database_disk.why_not)
    answers: list[httpx.Response] = []

    def refused() -> bool:
        with stage.system.http(Role.CUSTOMER, uuid4()) as client:
            answers.append(client.post("/bookings", json=BOOKING, headers={"Prefer": ""}))
        return answers[-1].status_code == 503

    with stage.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM FULL mailbox"))  # else there may be room for hundreds within it
    with stage.database_disk.full():
        eventually(refused, within=20)
    assert {answer.status_code for answer in answers} <= {202, 503}
    accepted = [answer.json()["commandId"] for answer in answers if answer.status_code == 202]
    eventually(lambda: all(settled(stage, command) for command in accepted), within=20)
    booked(stage)


def test_everything_goes_on_while_the_disk_of_the_log_is_full(stage: Stage) -> None:
    eventually(lambda: len(stage.children()) == len(QUEUES) + 2, within=20)
    before = set(stage.children())
    with no_room(stage.system.process.pid):
        stage.system.kill("timers")
        eventually(lambda: set(stage.children()) - before, within=20)
        booked(stage)
    assert stage.system.process.poll() is None
    # Who began meanwhile inherited the limit, could not write where a full disk would have let it, and begins again.
    eventually(lambda: len(stage.system.pids("timers")) == 3, within=40)
    booked(stage)


def test_a_server_that_dies_while_the_disk_is_full_comes_back_when_there_is_room(stage: Stage) -> None:
    def begun_and_not_written() -> bool:
        return any(stage.valkey.home.glob("port.*.new"))

    with no_room(stage.system.process.pid):
        stage.valkey.kill()
        eventually(begun_and_not_written, within=10)
    pid_of(stage.valkey)
    booked(stage)


def test_CNCL_05_afterwards_nothing_is_left_and_the_doctor_finds_nothing(stage: Stage) -> None:
    stage.hurry()
    eventually(lambda: not stage.rows("SELECT 1 FROM mailbox WHERE settled_at IS NULL"), within=40, every=0.2)
    eventually(lambda: not doctor(stage.system), within=30, every=1.0)
