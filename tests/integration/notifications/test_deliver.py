"""The per-user log: gapless, in order, once."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID, uuid4

from tests.world import World


def logs(world: World) -> dict[UUID, list[int]]:
    lines: dict[UUID, list[int]] = defaultdict(list)
    for row in world.rows("SELECT user_id, seq FROM log_lines ORDER BY user_id, seq"):
        lines[row.user_id].append(row.seq)
    return lines


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
    for row in newest_first:
        world.bus.execute(row.id)
    versions = [frame["version"] for frame in world.heard(customer) if "version" in frame]
    assert versions == sorted(versions)


def test_an_offer_of_what_is_over_meanwhile_is_not_told_but_its_withdrawal_is(world: World) -> None:
    fleet = world.fleet()
    customer = uuid4()
    outcome = world.book(customer)
    broadcast = UUID(outcome.result["id"])
    widen = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.widen'")
    world.bus.execute(widen)
    world.cancel(broadcast)
    world.drain()
    assert world.heard(fleet.id, "new_broadcast") == []
    assert len(world.heard(fleet.id, "booking_cancelled")) == 1


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
    assert len(world.heard(near.id, "trucks_remaining_update")) == 1
    assert [frame["event"] for frame in world.heard(later.id)][-1] == "new_broadcast"
    assert world.heard(later.id, "trucks_remaining_update") == []


def test_a_fan_out_to_a_thousand_is_a_handful_of_statements(world: World) -> None:
    from sqlalchemy import event, text

    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO offers (broadcast_id, transporter_id, step, version, offered_at)"
                " SELECT :id, gen_random_uuid(), 1, 2, clock_timestamp() FROM generate_series(1, 1000)"
            ),
            {"id": broadcast},
        )
    world.cancel(broadcast)
    statements: list[str] = []
    listener = lambda *args: statements.append(args[2])  # noqa: E731
    event.listen(world.engine, "before_cursor_execute", listener)
    try:
        world.bus.execute(
            world.value("SELECT id FROM mailbox WHERE name = 'notifications.deliver' AND settled_at IS NULL")
        )
    finally:
        event.remove(world.engine, "before_cursor_execute", listener)
    assert (
        world.value(
            "SELECT count(*) FROM log_lines l JOIN events e ON e.id = l.event_id WHERE event = 'booking_cancelled'"
        )
        == 1001
    )
    assert len(statements) < 30
