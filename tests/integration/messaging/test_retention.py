"""Old events are forgotten, newer ones are not."""

from __future__ import annotations

from uuid import uuid4

from tests.world import World
from weelo_workers.messaging.retention import forget_what_is_old


def test_events_older_than_the_retention_leave_every_log_and_the_others_stay(world: World) -> None:
    customer = uuid4()
    world.broadcast(1, customer=customer)
    before = world.heard(customer)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE events SET at = at - interval '8 days' WHERE data->>'status' = 'created'"
        )
    assert forget_what_is_old(world.engine, days=7) == 1
    assert world.heard(customer) == [line for line in before if line.get("status") != "created"]
    assert world.value("SELECT seq FROM log_heads WHERE user_id = :id", id=customer) == len(before)


def test_settled_commands_are_forgotten_and_waiting_ones_never(world: World) -> None:
    customer = uuid4()
    outcome = world.book(customer)
    world.drain()
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE mailbox SET settled_at = settled_at - interval '8 days', due_at = due_at - interval '8 days'"
        )
    waiting = world.value("SELECT count(*) FROM mailbox WHERE settled_at IS NULL")
    assert waiting > 0
    forget_what_is_old(world.engine, days=7)
    assert world.value("SELECT count(*) FROM mailbox") == waiting
    assert world.value("SELECT count(*) FROM mailbox WHERE id = :id", id=outcome.command_id) == 0
