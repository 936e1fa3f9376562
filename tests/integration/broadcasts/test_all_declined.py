"""The next ring follows at once when every transporter with the offer has declined it."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import event

from tests.support.changed_settings import with_settings
from tests.support.relations import set_by_customer
from tests.support.world import World
from weelo_workers.contracts.broadcasts import WidenBroadcast


def step(world: World, broadcast: UUID) -> int:
    return int(world.value("SELECT radius_step FROM broadcasts WHERE id = :id", id=broadcast))


def timers(world: World, broadcast: UUID) -> list[int]:
    """Return the numbers of the steps for which the broadcast has an unsettled `broadcasts.widen`."""
    query = (
        "SELECT (payload->>'step')::int AS step FROM mailbox WHERE name = 'broadcasts.widen' AND settled_at IS NULL"
        " AND payload->>'broadcast_id' = :id ORDER BY 1"
    )
    return [row.step for row in world.rows(query, id=str(broadcast))]


def test_RADI_01_the_last_of_those_who_decline_brings_the_next_ring(world: World) -> None:
    near = [world.fleet(km_north=km) for km in (1, 2, 3)]
    far = world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    for fleet in near[:2]:
        world.decline(fleet, broadcast)
        world.drain()
    assert step(world, broadcast) == 1
    world.decline(near[2], broadcast)
    world.drain()
    assert world.told_at(broadcast)[far.id] == 2
    assert timers(world, broadcast) == [2, 3]
    # The timer of ring 2 has no effect, because ring 2 was made early.
    world.fire(WidenBroadcast(broadcast_id=broadcast, step=2))
    assert step(world, broadcast) == 2


def test_declines_that_race_make_the_next_ring_once(world: World) -> None:
    near = [world.fleet(km_north=km) for km in (1, 2, 3, 4)]
    far = world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    timer = world.value("SELECT id FROM mailbox WHERE name = 'broadcasts.widen'")
    world.race(*[lambda fleet=fleet: world.decline(fleet, broadcast) for fleet in near])
    world.race(world.drain, lambda: world.bus.execute(timer), lambda: world.decline(near[0], broadcast))
    world.drain()
    assert world.told_at(broadcast)[far.id] == 2
    assert step(world, broadcast) == 2
    widened = "SELECT count(*) FROM transitions WHERE name = 'widen_unfilled' AND details->>'step' = '2'"
    assert world.value(widened) == 1
    assert len(world.events_of(far.id, "new_broadcast")) == 1


def test_declining_twice_brings_the_next_ring_once(world: World) -> None:
    near = world.fleet()
    for km in (20, 40):
        world.fleet(km_north=km)
    broadcast = world.broadcast(1)
    for _ in range(2):
        world.decline(near, broadcast)
        world.drain()
    assert step(world, broadcast) == 2


@pytest.mark.parametrize("by", ["hold", "truck"])
def test_a_hold_or_a_won_truck_keeps_the_ring(world: World, by: str) -> None:
    holder, other = world.fleet(km_north=1), world.fleet(km_north=2)
    world.fleet(km_north=20)
    broadcast = world.broadcast(2)
    if by == "hold":
        world.hold(holder, broadcast)
    else:
        world.accept(holder, broadcast, partial=True)
        world.decline(holder, broadcast)
    world.decline(other, broadcast)
    world.drain()
    assert step(world, broadcast) == 1
    if by == "hold":  # once the holder has declined as well, the next ring follows
        world.decline(holder, broadcast)
        world.drain()
        assert step(world, broadcast) == 2


def test_nothing_follows_the_last_step(world: World) -> None:
    fleet = world.fleet(km_north=300)
    broadcast = world.broadcast(1)
    reached = step(world, broadcast)
    world.decline(fleet, broadcast)
    world.drain()
    assert (step(world, broadcast), timers(world, broadcast)) == (reached, [])


def test_a_further_portion_of_the_last_step_follows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    first, second = world.fleet(km_north=300), world.fleet(km_north=400)
    broadcast = world.broadcast(1)
    world.decline(first, broadcast)
    world.drain()
    assert set(world.told_at(broadcast)) == {first.id, second.id}


def test_a_withdrawn_offer_counts_as_declined(world: World) -> None:
    near, far = world.fleet(), world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    assert set_by_customer(world, world.customer_of(broadcast), near).status == "succeeded"
    world.drain()
    assert world.told_at(broadcast)[far.id] == 2


def test_declining_after_the_end_brings_nothing(world: World) -> None:
    fleet = world.fleet()
    world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    world.decline(fleet, broadcast)
    world.drain()
    assert step(world, broadcast) == 1


def test_finding_the_last_one_costs_no_statement(world: World) -> None:
    fleets = [world.fleet(km_north=km) for km in (1, 2)]
    broadcast = world.broadcast(1)
    texts: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        texts.append(statement)

    event.listen(world.engine, "before_cursor_execute", note)
    try:
        world.decline(fleets[0], broadcast)
    finally:
        event.remove(world.engine, "before_cursor_execute", note)
    reads = [each for each in texts if "offers" in each or "read_offer_to_decline" in each]
    assert sum("read_offer_to_decline" in each for each in reads) >= 1
    # Besides the statement that reads the offer to decline, two statements use the table of offers: one reads the
    # transporter's open offers, and one updates the declined offer.
    assert len([each for each in reads if not each.startswith("PREPARE") and "read_offer" not in each]) == 2
