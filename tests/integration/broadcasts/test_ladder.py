"""The ladder: when one ring follows another."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from tests.support.changed_settings import with_settings
from tests.support.world import World


def next_step_in(world: World, broadcast: UUID) -> float | None:
    query = (
        "SELECT due_at - (SELECT state_changed_at FROM broadcasts WHERE id = :id) AS later FROM mailbox"
        " WHERE name = 'broadcasts.widen' AND settled_at IS NULL"
    )
    later = world.value(query, id=broadcast)
    return None if later is None else float(later.total_seconds())


def test_RADI_01_a_ring_that_finds_nobody_new_does_not_wait(world: World) -> None:
    far = world.fleet(km_north=40)
    broadcast = world.broadcast(1)
    assert world.told_at(broadcast) == {far.id: 3}
    assert next_step_in(world, broadcast) == pytest.approx(15, abs=0.5)


def test_rings_where_nobody_is_are_one_command_and_leave_the_trail_of_each(world: World) -> None:
    world.fleet(km_north=40)
    broadcast = world.broadcast(1)
    assert world.value("SELECT count(DISTINCT command_id) FROM transitions") == 1
    trail = world.rows(
        "SELECT name, version, details FROM transitions"
        " WHERE broadcast_id = :id AND subject = 'broadcast' ORDER BY version",
        id=broadcast,
    )
    assert [(each.name, each.version, each.details.get("step")) for each in trail] == [
        ("create", 1, None),
        ("begin", 2, 1),
        ("activate", 3, None),
        ("widen_unfilled", 4, 2),
        ("widen_unfilled", 5, 3),
    ]


def test_a_ring_that_finds_too_few_does_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, min_offers_per_step=2)
    fleets = [world.fleet(km_north=km) for km in (3, 20, 40)]
    assert world.told_at(world.broadcast(1)) == {fleet.id: step for step, fleet in enumerate(fleets, 1)}


def test_the_ladder_stops_when_everyone_was_asked(world: World) -> None:
    broadcast = world.broadcast(1)
    assert world.value("SELECT radius_step FROM broadcasts") == 5
    assert next_step_in(world, broadcast) is None


def test_more_than_one_step_may_tell_have_their_turn_even_after_the_last_ring(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    fleets = [world.fleet(km_north=km) for km in (100, 200, 300)]
    broadcast = world.broadcast(1)
    for expected in (1, 2, 3):
        assert set(world.told_at(broadcast)) == {fleet.id for fleet in fleets[:expected]}
        world.tick(15)
    assert next_step_in(world, broadcast) is None


def test_nobody_has_more_open_offers_than_they_can_look_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=2)
    fleet = world.fleet(km_north=1)
    broadcasts = [world.broadcast(1, customer=uuid4()) for _ in range(3)]
    assert [fleet.id in world.told_at(each) for each in broadcasts] == [True, True, False]
    world.decline(fleet, broadcasts[0])
    fourth = world.broadcast(1)
    assert fleet.id in world.told_at(fourth)


def test_two_steps_at_once_tell_nobody_twice(world: World) -> None:
    for km in (1, *range(16, 24)):
        world.fleet(km_north=km)
    world.drain()
    broadcast = world.broadcast(1)
    assert len(world.told_at(broadcast)) == 1
    world.shift(15)
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.widen'")
    world.race(*[lambda: world.bus.execute(timer) for _ in range(6)])
    world.drain()
    assert len(world.told_at(broadcast)) == 9
    offers = world.rows(
        "SELECT user_id FROM log_lines l JOIN events e ON e.id = event_id WHERE event = 'new_broadcast'"
    )
    assert len(offers) == len({row.user_id for row in offers}) == 9


def test_steps_are_never_set_past_the_deadline(world: World) -> None:
    world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET expires_at = clock_timestamp() + interval '10 s'")
        connection.exec_driver_sql(
            "UPDATE mailbox SET due_at = clock_timestamp() WHERE name = 'broadcasts.widen'"
        )
    world.drain()
    assert next_step_in(world, broadcast) is None
