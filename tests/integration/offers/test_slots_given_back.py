"""A fleet that gave a slot back is refused with that reason, also if slots of other kinds are open."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.support.world import KINDS, World


def test_WAYS_02_the_refusal_names_the_reason_although_a_slot_of_another_kind_is_open(world: World) -> None:
    fleet = world.fleet(2)
    order = UUID(world.order(uuid4(), (KINDS[0], 1), (KINDS[1], 1)).result["id"])
    world.drain()
    world.accept(fleet, order, fleet.trucks[:1])
    world.drivers_accept(order)
    world.give_back(world.assignments(order)[0])
    for partial in (False, True):
        outcome = world.accept(fleet, order, fleet.trucks[:1], partial=partial)
        assert outcome.error is not None and outcome.error["code"] == "SLOT_GIVEN_BACK"
