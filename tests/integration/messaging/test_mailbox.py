"""The mailbox: a command takes effect once, however often it is woken and by whatever process."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.wakers import NullWaker, RecordingWaker
from tests.support.world import World
from weelo_workers import app as wiring
from weelo_workers.contracts.broadcasts import CancelBroadcast
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.messaging import handlers, mailbox, sweep as sweeping
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep, wake_again_after_outage
from weelo_workers.messaging.unit_of_work import UnitOfWork
from weelo_workers.models.engine import connect, drop_inherited_connections
from weelo_workers.settings import settings


def test_IDEM_02_the_same_message_five_times_at_once_has_one_effect(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    command = world.post(world.accepting(fleet, broadcast), fleet.id, Role.TRANSPORTER)
    world.race(*[lambda: world.bus.execute(command) for _ in range(5)])
    assert world.live_assignments(broadcast) == 1
    world.drain()
    assert (
        len([f for f in world.events_of(fleet.id, "command_settled") if f["commandId"] == str(command)]) == 1
    )


def test_IDEM_02_the_same_key_is_the_same_command_with_the_same_answer(world: World) -> None:
    customer, key = uuid4(), uuid4()
    first = world.book(customer, key=key)
    world.cancel(UUID(first.result["id"]))
    again = world.book(customer, key=key)
    assert again.result == first.result and again.replayed
    assert world.value("SELECT count(*) FROM broadcasts") == 1


def test_another_request_under_a_used_key_is_a_conflict_and_changes_nothing(world: World) -> None:
    customer, key = uuid4(), uuid4()
    world.book(customer, key=key)
    with world.engine.begin() as connection:
        posted = mailbox.post(
            connection, world.booking(customer, 9), Caller(customer, Role.CUSTOMER), key, "other"
        )
    assert posted.conflicting and not posted.fresh
    assert (
        world.value("SELECT payload->'request'->>'trucks_needed' FROM mailbox WHERE id = :id", id=key) == "1"
    )


def test_a_settled_outcome_is_only_for_its_caller(world: World) -> None:
    customer = uuid4()
    outcome = world.book(customer)
    with world.engine.connect() as connection:
        assert mailbox.find_outcome(connection, outcome.command_id, uuid4()) is None


def test_TIMR_01_timers_are_rows_of_the_mailbox_with_a_due_time(world: World) -> None:
    world.book(uuid4())
    rows = world.rows(
        "SELECT name, due_at > received_at AS later FROM mailbox WHERE caller_id IS NULL ORDER BY name"
    )
    assert [(row.name, row.later) for row in rows] == [("broadcasts.expire", True)]


def test_TIMR_03_a_timer_that_rings_early_sets_its_alarm_again(world: World) -> None:
    broadcast = world.broadcast(1)
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'")
    waker = RecordingWaker()
    Bus(world.engine, waker).execute(timer)
    assert world.status(broadcast) == "active"
    assert [wake_up.id for wake_up in waker.wake_ups] == [timer]
    assert 110 < waker.wake_ups[0].countdown <= 120


def test_TIMR_04_a_timer_fired_by_many_at_once_acts_once(world: World) -> None:
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET expires_at = clock_timestamp()")
        connection.exec_driver_sql("UPDATE mailbox SET due_at = clock_timestamp() WHERE settled_at IS NULL")
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'")
    world.race(*[lambda: world.bus.execute(timer) for _ in range(8)])
    ends = world.value(
        "SELECT count(*) FROM transitions WHERE broadcast_id = :id AND to_status = 'expired' AND subject = 'broadcast'",
        id=broadcast,
    )
    assert ends == 1


def test_TIMR_02_the_sweep_settles_a_timer_whose_bell_was_lost(world: World) -> None:
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET expires_at = clock_timestamp()")
        connection.exec_driver_sql(
            "UPDATE mailbox SET due_at = clock_timestamp(), wake_at = clock_timestamp() WHERE settled_at IS NULL"
        )
    assert sweep(world.bus, seconds=1) > 0
    assert world.status(broadcast) == "expired"


def test_the_sweep_rings_a_command_first_and_settles_it_if_nobody_comes(world: World) -> None:
    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    waker = RecordingWaker()
    bus = Bus(world.engine, waker)
    for expected in ("pending", "pending", "succeeded"):
        with world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE mailbox SET wake_at = clock_timestamp() WHERE settled_at IS NULL"
            )
        sweep(bus, seconds=1)
        assert world.outcome(command, customer).status == expected
    assert [wake_up.id for wake_up in waker.wake_ups][:2] == [command, command]


def test_after_an_outage_of_the_broker_workers_execute_what_is_overdue(world: World) -> None:
    """Wake-ups during an outage are lost, so the sweep sends them again and workers execute the commands.

    Beat alone would take five minutes for 250 bookings.
    """
    customer, waker = uuid4(), RecordingWaker()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    bus = Bus(world.engine, waker)
    for _ in range(2):
        with world.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE mailbox SET wake_at = clock_timestamp()")
        sweep(bus, seconds=1)
    waker.wake_ups.clear()
    assert wake_again_after_outage(world.engine) == 1
    sweep(bus, seconds=1)
    assert [wake_up.id for wake_up in waker.wake_ups] == [command]
    assert world.outcome(command, customer).status == "pending", "beat has left it to a worker"


def test_with_a_silent_bell_the_sweep_settles_commands_itself(world: World) -> None:
    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mailbox SET wake_at = clock_timestamp()")
    sweep(world.bus, seconds=1)
    assert world.outcome(command, customer).status == "succeeded"


def test_TIMR_02_what_comes_due_while_the_sweep_settles_commands_does_not_wait_for_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "TIMERS_EVERY_SECONDS", 0.0)
    expiring = world.broadcast(1)
    customers = [uuid4() for _ in range(3)]
    commands = [world.post(world.booking(customer), customer, Role.CUSTOMER) for customer in customers]
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE mailbox SET wake_at = clock_timestamp() WHERE id = ANY(:ids)"), {"ids": commands}
        )

    class Busy(Bus):
        def execute(self, command_id: UUID, *, swept: bool = False, redelivered: bool = False) -> bool:
            settled = super().execute(command_id, swept=swept, redelivered=redelivered)
            if command_id in commands and world.status(expiring) != "expired":
                assert not in_time, "the timer has come due while the first was settled"
                in_time.append(command_id)
                world.shift(121)
            return settled

    in_time: list[UUID] = []
    sweep(Busy(world.engine, NullWaker()), seconds=5)
    assert world.status(expiring) == "expired"
    assert len(in_time) == 1


def missed_in(world: World) -> float:
    """Return the seconds until the sweep may execute the next timer (its `wake_at`)."""
    return float(
        world.value(
            "SELECT EXTRACT(EPOCH FROM min(wake_at) - clock_timestamp())::float FROM mailbox"
            " WHERE settled_at IS NULL AND queue = 'timers'"
        )
    )


def test_TIMR_02_the_sweep_is_worthwhile_when_the_next_timer_could_be_missed(world: World) -> None:
    assert sweeping.next_sweep_in(world.bus, at_most=1) == 1, "there is none"
    world.broadcast(1)
    assert sweeping.next_sweep_in(world.bus, at_most=1) == 1, "the next is far away"
    world.shift(missed_in(world) - 20)
    longest = missed_in(world)
    assert longest >= sweeping.next_sweep_in(world.bus, at_most=60) >= missed_in(world) > 0
    world.shift(60)
    assert sweeping.next_sweep_in(world.bus, at_most=1) == sweeping.SHORTEST_PAUSE_SECONDS, "somebody has it"


def test_TIMR_02_so_beat_comes_back_at_that_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "run_purger", lambda *_: None)
    beat = wiring.SweepingScheduler(wiring.app)
    try:
        assert 0.5 < beat.tick() <= settings().sweep_seconds
        world.broadcast(1)
        world.shift(missed_in(world) - 0.5)
        assert beat.tick() <= 0.5
    finally:
        beat._background.shutdown()
        beat._bus.engine.dispose()


def test_two_sweeps_at_once_take_each_row_once(world: World) -> None:
    for _ in range(30):
        customer = uuid4()
        world.post(world.booking(customer), customer, Role.CUSTOMER)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mailbox SET wake_at = clock_timestamp()")
    taken = world.race(*[lambda: sweep(world.bus, seconds=5) for _ in range(2)])
    # The number may be greater than 30, because the sweeps may also have executed timers that the bookings set.
    assert sum(taken) >= 30
    assert world.value("SELECT max(sweep_count) FROM mailbox WHERE name = 'broadcasts.create_booking'") == 1


def test_a_command_that_always_fails_is_parked_with_its_reason_and_blocks_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(command: CancelBroadcast, uow: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setitem(handlers._handlers, CancelBroadcast.name, broken)
    customer = uuid4()
    poison = world.post(
        CancelBroadcast(broadcast_id=uuid4(), customer_id=customer, kind=BroadcastKind.BOOKING),
        customer,
        Role.CUSTOMER,
    )
    for _ in range(7):
        world.bus.execute(poison)
        world.shift(30)
    row = world.rows(
        "SELECT attempts, last_error, parked_at, settled_at FROM mailbox WHERE id = :id", id=poison
    )[0]
    assert (row.attempts, row.last_error, row.settled_at) == (5, "RuntimeError: a bug", None)
    assert row.parked_at is not None
    assert world.book(customer).http_status == 201


def test_a_refusal_leaves_nothing_behind_but_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler changes rows, publishes events and sets timers before it rejects the command. All of that is undone."""
    from weelo_workers.contracts.rejections import Code, Rejected

    create = handlers._handlers["broadcasts.create_booking"]

    def create_then_refuse(command: Command, uow: UnitOfWork) -> None:
        create(command, uow)
        raise Rejected(Code.ORDER_ACTIVE_EXISTS)

    monkeypatch.setitem(handlers._handlers, "broadcasts.create_booking", create_then_refuse)
    customer = uuid4()
    outcome = world.book(customer)
    world.drain()
    assert outcome.error["code"] == "ORDER_ACTIVE_EXISTS"
    assert world.value("SELECT count(*) FROM broadcasts") == 0
    assert [frame["event"] for frame in world.events_of(customer)] == ["command_settled"]
    assert world.value("SELECT count(*) FROM mailbox WHERE settled_at IS NULL") == 0


def test_the_first_command_of_a_user_makes_their_row(world: World) -> None:
    customer = uuid4()
    world.book(customer)
    assert world.value("SELECT role FROM users WHERE id = :id", id=customer) == "customer"


def test_a_retry_while_the_first_is_executing_is_answered_at_once(world: World) -> None:
    customer, key = uuid4(), uuid4()
    world.post(world.booking(customer), customer, Role.CUSTOMER, key=key)
    with world.engine.begin() as executing:
        executing.exec_driver_sql("SELECT 1 FROM mailbox FOR UPDATE")
        with world.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = '500ms'")
            posted = mailbox.post(
                connection, world.booking(customer), Caller(customer, Role.CUSTOMER), key, "a request"
            )
    assert not posted.fresh and posted.outcome.replayed and posted.outcome.status == "pending"


def test_what_a_newer_process_wrote_is_left_for_one_that_knows_it(world: World) -> None:
    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mailbox SET name = 'broadcasts.from_the_future'")
    world.bus.execute(command)
    row = world.rows("SELECT attempts, settled_at, parked_at FROM mailbox WHERE id = :id", id=command)[0]
    assert (row.attempts, row.settled_at, row.parked_at) == (0, None, None)


def test_a_field_that_only_newer_processes_know_is_passed_over_at_any_depth(world: World) -> None:
    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            """UPDATE mailbox SET payload = jsonb_set(jsonb_set(payload, '{new}', '1'), '{request,pickup,new}', '1')"""
        )
    world.bus.execute(command)
    assert world.outcome(command, customer).status == "succeeded"


def test_a_timer_is_never_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(command: Command, uow: UnitOfWork) -> None:
        raise RuntimeError("a bug")

    broadcast = world.broadcast(1)
    with monkeypatch.context() as patched:
        patched.setitem(handlers._handlers, "broadcasts.expire", broken)
        with world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE mailbox SET due_at = clock_timestamp() WHERE name = 'broadcasts.expire'"
            )
        for _ in range(7):
            world.bus.execute(world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.expire'"))
            world.shift(400)
        row = world.rows("SELECT attempts, parked_at FROM mailbox WHERE name = 'broadcasts.expire'")[0]
        assert (row.attempts, row.parked_at) == (7, None)
    world.tick(121)
    assert world.status(broadcast) == "expired"


def test_a_sweep_does_not_wait_long_for_what_somebody_holds(world: World) -> None:
    import os
    import time

    fleet = world.fleet()
    broadcast = world.broadcast(1)
    for _ in range(5):
        world.post(world.accepting(fleet, broadcast), fleet.id, Role.TRANSPORTER)
    quick = connect(os.environ["DATABASE_URL"], lock_timeout="300ms")
    with world.engine.begin() as holder:
        holder.exec_driver_sql("SELECT 1 FROM broadcasts FOR UPDATE")
        with world.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE mailbox SET wake_at = clock_timestamp() WHERE settled_at IS NULL"
            )
        began = time.monotonic()
        sweep(Bus(quick, world.bus.waker), seconds=1)
        assert time.monotonic() - began < 5
    quick.dispose()


def test_TIMR_02_a_timer_that_somebody_holds_up_is_tried_again_every_second(world: World) -> None:
    """A timer that is blocked by a lock does not back off: longer pauses would only delay its deadline further."""
    broadcast = world.broadcast(1)
    world.shift(121)
    quick = connect(settings().database_url, lock_timeout="50ms")
    with world.engine.begin() as other_transaction:
        other_transaction.execute(
            text("SELECT 1 FROM broadcasts WHERE id = :id FOR UPDATE"), {"id": broadcast}
        )
        for _ in range(4):
            with world.engine.begin() as connection:
                connection.execute(
                    text("UPDATE mailbox SET wake_at = clock_timestamp() WHERE settled_at IS NULL")
                )
            sweep(Bus(quick, world.bus.waker), seconds=1)
    pause = "SELECT max(EXTRACT(EPOCH FROM wake_at - clock_timestamp())) FROM mailbox WHERE settled_at IS NULL AND name = 'broadcasts.expire'"
    assert world.value(pause) <= 1
    quick.dispose()


def test_IDEM_02_a_connection_that_ends_in_the_middle_costs_a_command_nothing(world: World) -> None:
    """If the connection ends during a command, the bus executes the command again on another connection."""
    customer = uuid4()
    command = world.post(world.booking(customer), customer, Role.CUSTOMER)
    drop_inherited_connections()
    # The only connection of the new pool is terminated while it is in the pool. The pool does not notice this, because
    # it does not test a connection that was returned a moment ago. So the bus starts the command on the terminated
    # connection.
    with world.engine.connect() as connection:
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    killer = connect(settings().database_url, isolation="AUTOCOMMIT")
    with killer.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
    killer.dispose()
    world.bus.execute(command)
    assert world.outcome(command, customer).status == "succeeded"
    drop_inherited_connections()  # later tests must not get the terminated connection
