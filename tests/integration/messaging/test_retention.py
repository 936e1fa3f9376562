"""Old events are forgotten, newer ones are not."""

from __future__ import annotations

from uuid import uuid4

from tests.world import World
from weelo_workers.messaging.retention import forget_old_events


def test_events_older_than_the_retention_leave_every_log_and_the_others_stay(world: World) -> None:
    customer = uuid4()
    world.broadcast(1, customer=customer)
    before = world.heard(customer)
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE events SET at = at - interval '8 days' WHERE data->>'status' = 'created'"
        )
    assert forget_old_events(world.engine, days=7) == 1
    assert world.heard(customer) == [line for line in before if line.get("status") != "created"]
    assert world.value("SELECT seq FROM log_heads WHERE user_id = :id", id=customer) == len(before)
