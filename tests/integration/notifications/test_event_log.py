"""The per-user log: without gaps, in order, each event once."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, text

from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers import presence
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.statuses import Role
from weelo_workers.notifications import event_log, live_stream


def logs(world: World) -> dict[UUID, list[int]]:
    lines: dict[UUID, list[int]] = defaultdict(list)
    for row in world.rows("SELECT user_id, seq FROM log_lines ORDER BY user_id, seq"):
        lines[row.user_id].append(row.seq)
    return lines


def test_events_are_committed_together_with_what_they_tell(world: World) -> None:
    """In the caller's log the outcome follows the command's events. No further command delivers them."""
    customer = uuid4()
    booked = world.book(customer)
    world.cancel(UUID(booked.result["id"]))
    assert [frame["event"] for frame in world.events_of(customer)][-2:] == [
        "booking_cancelled",
        "command_settled",
    ]
    assert world.value("SELECT count(*) FROM mailbox WHERE queue = 'notifications'") == 0


def test_every_log_is_gapless_though_transactions_with_common_readers_run_at_once(world: World) -> None:
    """All transactions lock the counters of the logs in the same order, so no deadlock aborts one."""
    fleets = [world.fleet(3) for _ in range(6)]
    customers = [uuid4() for _ in range(8)]
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = world.value(deadlocks)
    broadcasts = [
        UUID(booked.result["id"]) for booked in world.race(*[partial(world.book, c, 3) for c in customers])
    ]
    accepts = [
        partial(world.accept, fleet, broadcast, [fleet.trucks[number % 3]])
        for number, broadcast in enumerate(broadcasts)
        for fleet in fleets
    ]
    world.race(*accepts, *[partial(world.cancel, broadcast) for broadcast in broadcasts[::2]])
    for seqs in logs(world).values():
        assert seqs == list(range(1, len(seqs) + 1))
    heads = {row.user_id: row.seq for row in world.rows("SELECT user_id, seq FROM log_heads")}
    assert heads == {user: seqs[-1] for user, seqs in logs(world).items()}
    assert world.value(deadlocks) == before
    for customer in customers:
        versions = [frame["version"] for frame in world.events_of(customer) if "version" in frame]
        assert versions == sorted(versions)


def test_who_was_told_later_does_not_hear_what_happened_before(world: World) -> None:
    near, later = world.fleet(km_north=1), world.fleet(km_north=20)
    broadcast = world.broadcast(2)
    world.accept(near, broadcast)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE mailbox SET due_at = clock_timestamp() WHERE name = 'broadcasts.widen' AND settled_at IS NULL"
        )
    world.bus.execute(
        world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.widen' AND settled_at IS NULL")
    )
    world.drain()
    assert len(world.events_of(near.id, "trucks_remaining_update")) == 1
    assert [frame["event"] for frame in world.events_of(later.id)][-1] == "new_broadcast"
    assert world.events_of(later.id, "trucks_remaining_update") == []


def test_a_fan_out_to_a_thousand_takes_as_many_statements_as_one_to_ten(world: World) -> None:
    """The number of statements does not grow with the recipients.

    This also holds if each recipient has a device: their pushes are written in the same transaction.
    """
    to_ten, to_a_thousand = _fan_out(world, 10), _fan_out(world, 999)
    assert to_a_thousand == to_ten
    assert len(to_ten) < 20


def _fan_out(world: World, recipients: int) -> list[str]:
    """Cancel a broadcast that was offered to `recipients` transporters. Return the SQL statements that it took."""
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        for statement in (
            (
                "INSERT INTO offers (broadcast_id, transporter_id, step, version, offered_at)"
                " SELECT :id, gen_random_uuid(), 1, 2, clock_timestamp() FROM generate_series(1, :many)"
            ),
            (
                "INSERT INTO devices (id, token, user_id, platform, registered_at)"
                " SELECT gen_random_uuid(), gen_random_uuid()::text, transporter_id, 'android', clock_timestamp()"
                " FROM offers WHERE broadcast_id = :id"
            ),
        ):
            connection.execute(text(statement), {"id": broadcast, "many": recipients})
    statements: list[str] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        round_trips = len(parameters) if executemany and isinstance(parameters, list) else 1
        statements.extend([" ".join(statement.split()[:3])] * round_trips)

    event.listen(world.engine, "before_cursor_execute", note)
    try:
        world.cancel(broadcast)
    finally:
        event.remove(world.engine, "before_cursor_execute", note)
    insert_offers = """
        SELECT count(*) FROM log_lines l JOIN events e ON e.id = l.event_id
         WHERE e.event = 'booking_cancelled' AND e.data->>'broadcastId' = :id
    """
    assert world.value(insert_offers, id=str(broadcast)) == recipients + 1
    pushes = "SELECT count(*) FROM mailbox WHERE name = 'notifications.push' AND settled_at IS NULL"
    assert world.value(pushes) >= recipients / 50
    return statements


def test_a_suspended_process_holds_the_logs_of_its_readers_for_two_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ends the suspended process's transaction. Other commands go on, and the command is executed again."""
    transporter, customer = uuid4(), uuid4()
    suspended: list[float] = []
    send_pushes = event_log._send_pushes

    def suspend_once(*arguments: Any) -> None:
        send_pushes(*arguments)
        if not suspended:
            suspended.append(time.monotonic())
            time.sleep(4.0)

    monkeypatch.setattr(event_log, "_send_pushes", suspend_once)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.book, customer)
        eventually(lambda: suspended)
        outcome = world.execute(
            SetAvailability(transporter_id=transporter, is_available=False), customer, Role.CUSTOMER
        )
        took = time.monotonic() - suspended[0]
        assert outcome.status == "succeeded" and 1 < took < 3.5
        assert first.result().status == "succeeded"
    assert world.value("SELECT count(*) FROM broadcasts") == 1
    seqs = [line["seq"] for line in world.events_of(customer)]
    assert seqs == list(range(1, len(seqs) + 1))


def test_lines_are_published_before_presence_is_updated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def noting(what: str, act: Callable[..., None]) -> Callable[..., None]:
        def call(*given: Any) -> None:
            done.append(what)
            act(*given)

        return call

    world.fleet()
    monkeypatch.setattr(live_stream, "publish", noting("lines", live_stream.publish))
    monkeypatch.setattr(presence, "mark_offered", noting("presence", presence.mark_offered))
    world.book(uuid4())
    assert done == ["lines", "presence"]
