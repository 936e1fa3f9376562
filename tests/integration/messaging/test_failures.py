"""Commands that fail every time back off, are parked with a reason, and delay no others."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from tests.support.findings import findings
from tests.support.wakers import RecordingWaker
from tests.support.world import World
from weelo_workers.contracts.broadcasts import CancelBroadcast
from weelo_workers.contracts.notifications import DeliverEvents, SendPushes
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.lifecycles.mailbox import MAX_ATTEMPTS
from weelo_workers.messaging import crashes, failures, handlers
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep


def write(world: World, name: str, payload: Any, queue: str = "broadcasts") -> UUID:
    """Insert a row into the mailbox without validation, as another version of the code could, and return its id."""
    row = {"id": uuid4(), "name": name, "queue": queue, "payload": json.dumps(payload)}
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO mailbox (id, name, queue, payload, due_at, wake_at)"
                " VALUES (:id, :name, :queue, CAST(:payload AS jsonb), clock_timestamp(), clock_timestamp())"
            ),
            row,
        )
    return row["id"]  # type: ignore[return-value]


def park(world: World, command_id: UUID) -> Any:
    for _ in range(MAX_ATTEMPTS):
        world.bus.execute(command_id)
        world.shift(30)
    return row_of(world, command_id)


def row_of(world: World, command_id: UUID) -> Any:
    return world.rows("SELECT * FROM mailbox WHERE id = :id", id=command_id)[0]


@pytest.fixture
def expiry_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[UUID]]:
    """Make `broadcasts.expire` raise. Return a list to which each attempt adds its command's id."""
    tried: list[UUID] = []

    def broken(command: Any, uow: Any) -> None:
        tried.append(uow.command_id)
        raise RuntimeError("a bug")

    monkeypatch.setitem(handlers._handlers, "broadcasts.expire", broken)
    return tried  # type: ignore[return-value]


BOOKING = {"customer_id": str(uuid4()), "keyed": False}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (BOOKING, "UnreadablePayload: request: Field required"),
        ({**BOOKING, "request": 7}, "UnreadablePayload: request: Input should be"),
        ({"customer_id": "nobody"}, "UnreadablePayload: customer_id: Input should be a valid UUID"),
        ([], "UnreadablePayload: payload: Input should be a valid dictionary"),
        (None, "UnreadablePayload: payload: Input should be a valid dictionary"),
    ],
)
def test_a_payload_of_another_version_is_parked_with_the_fields_that_cannot_be_read(
    world: World, payload: Any, reason: str
) -> None:
    row = park(world, write(world, "broadcasts.create_booking", payload))
    assert row.attempts == 5 and row.parked_at is not None and row.settled_at is None
    assert row.last_error.startswith(reason)


def test_what_is_in_an_unreadable_payload_is_in_no_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    payload = {
        "transporter_id": str(uuid4()),
        "driver_id": 7,
        "details": {"name": 3, "phone": ["+91 98100 12345"]},
    }
    with caplog.at_level(logging.DEBUG):
        row = park(world, write(world, "fleet.register_driver", payload, "fleet"))
    assert "details.phone" in row.last_error
    assert "98100" not in row.last_error and "98100" not in caplog.text


def test_the_pauses_between_tries_grow(world: World) -> None:
    poison = write(world, "broadcasts.cancel", {})
    for attempt, seconds in enumerate((1, 2, 4, 8), start=1):
        world.bus.execute(poison)
        row = row_of(world, poison)
        pause = world.value(
            "SELECT EXTRACT(EPOCH FROM retry_at - clock_timestamp()) FROM mailbox WHERE id = :id", id=poison
        )
        assert row.attempts == attempt and row.wake_at == row.retry_at
        assert seconds * 0.75 - 1 < float(pause) < seconds * 1.25
        world.shift(30)


def test_however_often_it_is_rung_in_its_pause_it_is_not_tried(world: World) -> None:
    poison = write(world, "broadcasts.cancel", {})
    for _ in range(10):
        world.bus.execute(poison)
    assert row_of(world, poison).attempts == 1


def test_the_next_try_is_rung_for_and_settled_by_the_sweep_if_nobody_comes(world: World) -> None:
    poison = write(world, "broadcasts.cancel", {})
    waker = RecordingWaker()
    bus = Bus(world.engine, waker)
    bus.execute(poison)
    for tries in (1, 1, 2):
        world.shift(30)
        sweep(bus, seconds=1)
        assert row_of(world, poison).attempts == tries
    assert [wake_up.id for wake_up in waker.wake_ups] == [poison, poison]


def test_parked_ones_are_named_by_the_doctor_with_reason_and_time_until_they_are_tried_again(
    world: World,
) -> None:
    poison = write(world, "broadcasts.cancel", {})
    park(world, poison)
    parked_at = row_of(world, poison).parked_at
    [line] = [line for line in findings("commands-parked") if str(poison) in line]
    assert line.startswith(f"parked: broadcasts.cancel {poison} since {parked_at:%Y-%m-%dT%H:%M}")
    assert "broadcast_id: Field required" in line
    with world.engine.begin() as connection:
        assert failures.requeue(connection, poison) == "broadcasts.cancel"
    row = row_of(world, poison)
    assert (row.attempts, row.sweep_count, row.parked_at, row.retry_at, row.last_error) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert park(world, poison).attempts == 5, "attempts begin afresh"


def test_a_retry_after_the_mending_settles_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(command: Any, uow: Any) -> None:
        raise RuntimeError("a bug")

    customer = uuid4()
    with monkeypatch.context() as patched:
        patched.setitem(handlers._handlers, "broadcasts.create_booking", broken)
        command = world.post(world.booking(customer), customer, Role.CUSTOMER)
        park(world, command)
    with world.engine.begin() as connection:
        failures.requeue(connection, command)
    sweep(world.bus, seconds=1)
    assert world.outcome(command, customer).http_status == 201


def test_only_what_has_failed_and_is_not_settled_can_be_tried_again(world: World) -> None:
    customer = uuid4()
    settled = world.book(customer).command_id
    waiting = world.post(world.booking(customer), customer, Role.CUSTOMER)
    for command, message in (
        (uuid4(), "is not in the mailbox"),
        (settled, "settled already"),
        (waiting, "not parked"),
    ):
        with pytest.raises(failures.CannotRetry, match=message), world.engine.begin() as connection:
            failures.requeue(connection, command)


# --- timers ---------------------------------------------------------------------------------------------


def test_a_timer_handed_back_before_its_time_has_not_been_tried(world: World) -> None:
    """The broker redelivers a timer if its worker restarts during the countdown. That is not a failed attempt."""
    world.broadcast(1)
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'")
    for _ in range(MAX_ATTEMPTS + 1):
        world.bus.execute(timer, redelivered=True)
    assert (row_of(world, timer).crashes, row_of(world, timer).retry_at) == (0, None)


def lost_sight_of(world: World, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """Return an overdue timer that still has the crash mark of an attempt that did not crash its process.

    The attempt could not remove the mark, because the database had become unreachable.
    """

    def away(*_: Any) -> None:
        raise OperationalError("", {}, Exception("the database is away"))

    world.broadcast(1)
    timer: UUID = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'")
    world.shift(121)
    with monkeypatch.context() as patched:
        patched.setitem(handlers._handlers, "broadcasts.expire", away)
        patched.setattr(crashes, "unmark_crash", away)
        world.bus.execute(timer, redelivered=True)
    assert row_of(world, timer).crashes == 1
    return timer


def test_TIMR_02_who_came_back_says_so_as_soon_as_the_database_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process removes its crash mark as soon as the database is reachable again.

    Otherwise the sweep would suspect that the timer crashes processes, and leave it to the workers.
    """
    timer = lost_sight_of(world, monkeypatch)
    sweep(world.bus, seconds=1)
    row = row_of(world, timer)
    assert row.settled_at is not None and row.crashes == 0


def test_who_came_back_leaves_alone_what_others_have_found_out_since(
    world: World, monkeypatch: pytest.MonkeyPatch, expiry_fails: list[UUID]
) -> None:
    timer = lost_sight_of(world, monkeypatch)
    world.shift(30)
    Bus(world.engine, RecordingWaker()).execute(timer)
    found = row_of(world, timer)
    assert expiry_fails == [timer] and (found.attempts, found.crashes) == (1, 1)
    world.bus.unmark_crashes()
    row = row_of(world, timer)
    assert (row.attempts, row.crashes, row.retry_at, row.last_error) == (
        1,
        0,
        found.retry_at,
        found.last_error,
    )


def test_a_timer_that_fails_is_tried_less_and_less_often_and_named_by_the_doctor(
    world: World, expiry_fails: list[UUID]
) -> None:
    world.broadcast(1)
    world.shift(121)
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'")
    for _ in range(12):
        world.bus.execute(timer)
        world.shift(400)
    row = row_of(world, timer)
    assert row.attempts == 12 and row.parked_at is None
    assert (row.retry_at - row.wake_at).total_seconds() == 0
    world.bus.execute(timer)
    pause = "SELECT EXTRACT(EPOCH FROM retry_at - clock_timestamp()) FROM mailbox WHERE id = :id"
    assert 200 < float(world.value(pause, id=timer)) <= 375
    [line] = findings("commands-failing")
    assert line.startswith("failing")
    assert f"broadcasts.expire {timer}" in line and "13 tries" in line and "RuntimeError: a bug" in line


def test_timers_that_fail_give_way_to_those_that_do_not(world: World, expiry_fails: list[UUID]) -> None:
    """The sweep executes timers that have not failed, and only sends a wake-up for a timer that has failed."""
    for _ in range(30):
        write(world, "broadcasts.expire", {"broadcast_id": str(uuid4())}, "timers")
    waker = RecordingWaker()
    bus = Bus(world.engine, waker)
    sweep(bus, seconds=5)
    assert len(expiry_fails) == 30
    fresh = world.broadcast(1)
    world.shift(121)
    before = len(expiry_fails)
    sweep(bus, seconds=0.001)
    expiries = {
        row.id
        for row in world.rows(
            "SELECT id FROM mailbox WHERE name = 'broadcasts.expire' AND payload->>'broadcast_id' = :id",
            id=str(fresh),
        )
    }
    assert set(expiry_fails[before:]) <= expiries, "none of those that had failed before"


def test_a_failing_timer_may_be_hastened_by_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(command: Any, uow: Any) -> None:
        raise RuntimeError("a bug")

    broadcast = world.broadcast(1)
    world.shift(121)
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'")
    with monkeypatch.context() as patched:
        patched.setitem(handlers._handlers, "broadcasts.expire", broken)
        for _ in range(9):
            world.bus.execute(timer)
            world.shift(400)
        world.bus.execute(timer)
    with world.engine.begin() as connection:
        failures.requeue(connection, timer)
    sweep(world.bus, seconds=1)
    assert world.status(broadcast) == "expired"


# --- commands that crash the process that executes them --------------------------------------------------


class Killed(BaseException):
    """Ends an attempt as `kill -9` does: the process writes nothing afterwards."""


@pytest.fixture
def cancel_kills(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[UUID]]:
    """Make `broadcasts.cancel` raise Killed. Return a list to which each attempt adds its command's id."""
    tried: list[UUID] = []

    def deadly(command: Any, uow: Any) -> None:
        tried.append(uow.command_id)
        raise Killed

    def the_dead_write_nothing(*_: Any) -> None:
        pass

    monkeypatch.setitem(handlers._handlers, "broadcasts.cancel", deadly)
    monkeypatch.setattr(crashes, "unmark_crash", the_dead_write_nothing)
    return tried  # type: ignore[return-value]


def cancelling(world: World) -> UUID:
    customer = uuid4()
    command = CancelBroadcast(broadcast_id=uuid4(), customer_id=customer, kind=BroadcastKind.BOOKING)
    return world.post(command, customer, Role.CUSTOMER)


def beat_survives_a_sweep(world: World, waker: RecordingWaker) -> bool:
    """Let 30 s pass and sweep. Return False if the sweep has executed a command that ends its process."""
    world.shift(30)
    try:
        sweep(Bus(world.engine, waker), seconds=1)
    except Killed:
        return False
    return True


def test_what_kills_whoever_has_its_message_is_parked_after_five_losses(
    world: World, cancel_kills: list[UUID]
) -> None:
    poison = cancelling(world)
    for _ in range(10):
        with suppress(Killed):
            world.bus.execute(poison, redelivered=bool(cancel_kills))
        world.shift(30)
    row = row_of(world, poison)
    assert len(cancel_kills) == 5
    assert row.parked_at is not None and row.last_error == crashes.POSSIBLE_CRASH
    assert any(str(poison) in line and "may have crashed" in line for line in findings("commands-parked"))
    with world.engine.begin() as connection:
        failures.requeue(connection, poison)
    assert row_of(world, poison).crashes == 0


def test_what_kills_the_sweep_is_counted_there_and_then_left_to_the_workers_as_long_as_any_come(
    world: World, cancel_kills: list[UUID]
) -> None:
    poison = cancelling(world)
    waker = RecordingWaker()
    while beat_survives_a_sweep(world, waker):
        assert len(waker.wake_ups) <= 2, "nobody comes for it"
    for lost in (2, 3, 4):
        assert beat_survives_a_sweep(world, waker) and waker.wake_ups.pop().id == poison
        with suppress(Killed):
            world.bus.execute(poison)
        assert len(cancel_kills) == row_of(world, poison).crashes == lost
    assert all(beat_survives_a_sweep(world, waker) for _ in range(6))
    assert len(cancel_kills) == 4 and row_of(world, poison).parked_at is not None


def test_the_sweep_executes_a_command_that_has_crashed_a_worker_only_after_five_wake_ups_without_effect(
    world: World, cancel_kills: list[UUID]
) -> None:
    """A crashed worker may need long to start again on a busy machine. Meanwhile the command must not crash beat."""
    poison = cancelling(world)
    waker = RecordingWaker()
    assert beat_survives_a_sweep(world, waker)
    with suppress(Killed):
        world.bus.execute(poison)
    assert row_of(world, poison).crashes == 1
    waker.wake_ups.clear()
    while beat_survives_a_sweep(world, waker):
        assert len(cancel_kills) == 1
    assert len(waker.wake_ups) == 5 and len(cancel_kills) == 2


def test_with_a_silent_bell_the_sweep_itself_finds_out_what_kills(
    world: World, cancel_kills: list[UUID]
) -> None:
    poison = cancelling(world)
    for lost in range(1, 5):
        world.shift(30)
        with pytest.raises(Killed):
            sweep(world.bus, seconds=1)
        assert row_of(world, poison).crashes == lost
    innocent = world.post(world.booking(customer := uuid4()), customer, Role.CUSTOMER)
    world.shift(30)
    sweep(world.bus, seconds=1)
    assert row_of(world, poison).parked_at is not None and row_of(world, innocent).settled_at is not None


@pytest.mark.parametrize("name", ["notifications.deliver", "notifications.push"])
def test_what_kills_the_notifier_whose_messages_do_not_come_again_is_parked_too(
    world: World, monkeypatch: pytest.MonkeyPatch, cancel_kills: list[UUID], name: str
) -> None:
    """After a crash of the notifier, only the sweep sends wake-ups for the command that crashed it.

    The broker does not redeliver the command's message. A crash ends the whole notifier, so no parent process returns
    the message. The message of a push may even be acknowledged before the command ends.
    """
    monkeypatch.setitem(handlers._handlers, name, handlers._handlers["broadcasts.cancel"])
    push = SendPushes(
        event_id=uuid4(), event="trip_assigned", data={}, ends_at=datetime.max.replace(tzinfo=UTC), to={}
    )
    payload = DeliverEvents(events=()) if name == "notifications.deliver" else push
    poison = write(world, name, payload.model_dump(mode="json"), "notifications")
    waker = RecordingWaker()
    with suppress(Killed):
        world.bus.execute(poison)
    while row_of(world, poison).parked_at is None:
        world.shift(30)
        rung = len(waker.wake_ups)
        sweep(Bus(world.engine, waker), seconds=1)
        assert len(waker.wake_ups) == rung + 1, "never executed by the sweep itself"
        with suppress(Killed):
            world.bus.execute(poison)
    assert len(cancel_kills) == 5 and row_of(world, poison).last_error == crashes.POSSIBLE_CRASH


def test_a_timer_that_kills_is_tried_less_and_less_often_but_never_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, cancel_kills: list[UUID]
) -> None:
    monkeypatch.setitem(handlers._handlers, "broadcasts.expire", handlers._handlers["broadcasts.cancel"])
    timer = write(world, "broadcasts.expire", {"broadcast_id": str(uuid4())}, "timers")
    # The first attempt sets no crash mark, so `crashes` is one less than the number of attempts.
    for lost in range(11):
        with suppress(Killed):
            sweep(world.bus, seconds=1)
        assert (row_of(world, timer).crashes, len(cancel_kills)) == (lost, lost + 1)
        world.shift(400)
    assert row_of(world, timer).parked_at is None
    with suppress(Killed):
        sweep(world.bus, seconds=1)
    pause = "SELECT EXTRACT(EPOCH FROM retry_at - clock_timestamp()) FROM mailbox WHERE id = :id"
    assert 200 < float(world.value(pause, id=timer)) <= 375


def test_who_lost_a_process_waits_a_moment_whatever_rings_for_it(
    world: World, cancel_kills: list[UUID]
) -> None:
    poison = cancelling(world)
    for _ in range(10):
        with suppress(Killed):
            world.bus.execute(poison, redelivered=True)
    assert len(cancel_kills) == 1


def test_however_often_it_is_handed_back_it_is_not_given_up_if_nobody_died_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker redelivers a message after a restart of the worker or a lost connection. That alone never parks a command.

    In this test each attempt also ends because another transaction holds a lock, which is no failure either.
    """

    def locked(command: Any, uow: Any) -> None:
        uow.session.execute(text("SET LOCAL lock_timeout = '1ms'"))
        uow.session.execute(text("SELECT FROM alembic_version FOR UPDATE"))

    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    with monkeypatch.context() as patched, world.engine.begin() as other_transaction:
        patched.setitem(handlers._handlers, "broadcasts.create_booking", locked)
        other_transaction.execute(text("SELECT FROM alembic_version FOR UPDATE"))
        before = row_of(world, command)
        for _ in range(2 * MAX_ATTEMPTS):
            world.bus.execute(command, redelivered=True)
            assert row_of(world, command) == before
    world.bus.execute(command, redelivered=True)
    assert world.outcome(command, customer).status == "succeeded"


def test_whoever_raises_lives_so_that_only_the_failure_is_counted(world: World) -> None:
    poison = write(world, "broadcasts.cancel", {})
    for tries in range(1, MAX_ATTEMPTS + 1):
        world.bus.execute(poison, redelivered=True)
        row = row_of(world, poison)
        assert (row.attempts, row.crashes, row.parked_at is not None) == (tries, 0, tries == 5)
        world.shift(30)


def test_what_is_settled_by_the_first_who_comes_is_settled_in_one_transaction(world: World) -> None:
    """A command needs one transaction. Only a redelivered command needs two more, for its crash mark."""
    begun: list[object] = []

    def note(connection: object) -> None:
        begun.append(connection)

    for redelivered, transactions in ((False, 1), (True, 3)):
        customer = uuid4()
        command = world.post(world.booking(customer), customer, Role.CUSTOMER)
        begun.clear()
        event.listen(world.engine, "begin", note)
        world.bus.execute(command, redelivered=redelivered)
        event.remove(world.engine, "begin", note)
        assert len(begun) == transactions


def test_a_command_that_nobody_knows_is_never_parked_but_named(world: World) -> None:
    unknown = write(world, "broadcasts.from_the_future", {})
    for _ in range(7):
        world.bus.execute(unknown)
    row = row_of(world, unknown)
    assert (row.attempts, row.parked_at) == (0, None)
    assert any(str(unknown) in line and "does not know" in line for line in findings("commands-failing"))
