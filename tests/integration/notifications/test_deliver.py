"""The per-user log: without gaps, in order, each event once."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import event, text

from tests.support.log_writer import LogWriter
from tests.support.world import World
from weelo_workers.metrics.counters import IN_THIS_PROCESS


def logs(world: World) -> dict[UUID, list[int]]:
    lines: dict[UUID, list[int]] = defaultdict(list)
    for row in world.rows("SELECT user_id, seq FROM log_lines ORDER BY user_id, seq"):
        lines[row.user_id].append(row.seq)
    return lines


def _deliveries_counted() -> float:
    labels = {"name": "notifications.deliver", "outcome": "succeeded"}
    return IN_THIS_PROCESS.get_sample_value("weelo_commands_total", labels) or 0.0


def test_every_log_is_gapless_though_deliveries_run_at_once_and_twice(world: World) -> None:
    fleets = [world.fleet() for _ in range(6)]
    broadcasts = [world.broadcast(3) for _ in range(4)]
    for broadcast in broadcasts:
        for fleet in fleets:
            world.accept(fleet, broadcast)
        world.cancel(broadcast)
    waiting = [
        row.id
        for row in world.rows(
            "SELECT id FROM mailbox WHERE name = 'notifications.deliver' AND settled_at IS NULL"
        )
    ]
    world.race(*[lambda command=command: world.bus.execute(command) for command in waiting * 2])
    world.drain()

    assert (
        world.value(
            "SELECT count(*) FROM mailbox WHERE settled_at IS NULL AND name = 'notifications.deliver'"
        )
        == 0
    )
    for seqs in logs(world).values():
        assert seqs == list(range(1, len(seqs) + 1))
    heads = {row.user_id: row.seq for row in world.rows("SELECT user_id, seq FROM log_heads")}
    assert heads == {user: seqs[-1] for user, seqs in logs(world).items()}


def test_deliveries_that_run_in_the_wrong_order_tell_the_right_one(world: World) -> None:
    customer = uuid4()
    fleet = world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    world.accept(fleet, broadcast)
    world.cancel(broadcast)
    newest_first = world.rows(
        "SELECT id FROM mailbox WHERE name = 'notifications.deliver' AND settled_at IS NULL ORDER BY position DESC"
    )
    counted = _deliveries_counted()
    for row in newest_first:
        world.bus.execute(row.id)
    # The metric also counts deliveries that were written together with another one.
    assert _deliveries_counted() == counted + len(newest_first)
    versions = [frame["version"] for frame in world.events_of(customer) if "version" in frame]
    assert versions == sorted(versions)


def test_an_offer_of_what_is_over_meanwhile_is_not_told_but_its_withdrawal_is(world: World) -> None:
    fleet = world.fleet()
    customer = uuid4()
    outcome = world.book(customer)
    broadcast = UUID(outcome.result["id"])
    world.cancel(broadcast)
    world.drain()
    assert world.events_of(fleet.id, "new_broadcast") == []
    assert len(world.events_of(fleet.id, "booking_cancelled")) == 1


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
    """Deliver one cancellation to `recipients` transporters and the customer. Return the SQL statements that it took."""
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
    world.cancel(broadcast)
    statements: list[str] = []

    def note(_: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        round_trips = len(parameters) if executemany and isinstance(parameters, list) else 1
        statements.extend([" ".join(statement.split()[:3])] * round_trips)

    delivery = "SELECT id FROM mailbox WHERE name = 'notifications.deliver' AND settled_at IS NULL"
    event.listen(world.engine, "before_cursor_execute", note)
    try:
        world.bus.execute(world.value(delivery))
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


def test_a_large_crowd_of_deliveries_is_written(world: World) -> None:
    """After an outage the notifier has to write many lines at once.

    A statement that counted all lines for each reader exceeded its time limit at every attempt.
    """
    logs = LogWriter()
    readers = {uuid4(): None for _ in range(2_000)}
    delivery = logs.post(readers, count=40)
    logs.deliver(delivery)
    settled = "SELECT count(*) FROM mailbox WHERE id = :id AND settled_at IS NOT NULL"
    assert world.value(settled, id=delivery) == 1
    assert world.rows("SELECT DISTINCT seq FROM log_heads WHERE seq >= 40")[0].seq == 40
    assert world.value("SELECT count(*) FROM log_lines") == 2_000 * 40
