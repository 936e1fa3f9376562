"""An offer that a block has withdrawn: what the blocked fleet is still told, and how an operator sees the offer."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from tests.support.relations import SIDES, Side, block, new_customer, told
from tests.support.world import World
from weelo_workers.queries.pages import PageRequest
from weelo_workers.queries.recipients import recipients

both_sides = pytest.mark.parametrize("by", SIDES)


@pytest.fixture
def customer(world: World) -> UUID:
    return new_customer(world)


@both_sides
def test_a_truck_lost_right_after_the_block_is_not_announced_to_the_blocked_fleet(
    world: World, customer: UUID, by: Side
) -> None:
    fleet, winner = world.fleet(), world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    world.accept(winner, broadcast)
    world.drivers_accept(broadcast)
    world.drain()
    before = told(world, fleet, broadcast)
    block(world, by, customer, fleet)
    world.give_back(world.assignments(broadcast)[0])
    world.drain()
    assert told(world, fleet, broadcast) == before
    (withdrawn,) = world.rows("SELECT from_status, to_status FROM transitions WHERE name = 'withdraw'")
    assert tuple(withdrawn) == ("offered", "withdrawn"), "the fleet has not declined it"


@both_sides
def test_the_operators_list_says_withdrawn_also_after_a_decline(
    world: World, customer: UUID, by: Side
) -> None:
    silent, declining, winner = (world.fleet() for _ in range(3))
    broadcast = world.broadcast(2, customer=customer)
    world.decline(declining, broadcast)
    world.accept(winner, broadcast)
    for fleet in (silent, declining, winner):
        block(world, by, customer, fleet)
    with Session(world.engine) as session:
        page = recipients(session, broadcast, PageRequest(10, None))
    assert page is not None
    listed = {
        UUID(each["transporterId"]): (each["offered"], each["answer"], each["reason"], each["declinedAt"])
        for each in page.items
    }
    assert listed == {
        silent.id: (True, "withdrawn", "blocked", None),
        declining.id: (True, "withdrawn", "blocked", None),
        winner.id: (True, "accepted", "blocked", None),
    }
