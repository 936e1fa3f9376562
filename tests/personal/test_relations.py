"""An export has the relations that the person has set, without those that the other side has set.

An erasure keeps blocks.
"""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from tests.personal.scene import Scene
from tests.support.relations import SIDES, Side, block, new_customer, set_by_customer, set_by_operator
from tests.support.world import Fleet, World
from weelo_workers.models.engine import engine
from weelo_workers.person.exporting import export


def exported(person: UUID) -> dict[str, list[dict[str, object]]]:
    with engine().connect() as connection:
        tables: dict[str, list[dict[str, object]]] = export(connection, person)["tables"]
    return tables


@pytest.mark.parametrize("by", SIDES)
def test_the_side_that_blocks_exports_it_and_the_other_does_not(world: World, by: Side) -> None:
    customer, fleet = new_customer(world), world.fleet()
    broadcast = world.broadcast(1, customer=customer)
    world.hold(fleet, broadcast)
    block(world, by, customer, fleet)
    world.drain()
    world.tick(16)
    own, other = (customer, fleet.id) if by == "customer" else (fleet.id, customer)
    [relation] = exported(own)["relations"]
    assert relation[f"blocked_by_{by}_at"] is not None
    assert any(row["name"] == f"relations.set_by_{by}" for row in exported(own)["mailbox"])
    tables = exported(other)
    assert "relations" not in tables
    assert f"relations.set_by_{by}" not in json.dumps(tables)
    assert '"blocked"' not in json.dumps(tables)


def test_a_row_with_marks_of_both_has_those_of_the_person_only(world: World) -> None:
    customer, fleet = new_customer(world), world.fleet(online=False)
    set_by_customer(world, customer, fleet, "preferred")
    set_by_operator(world, customer, fleet)
    block(world, "transporter", customer, fleet)
    [of_customer], [of_fleet] = exported(customer)["relations"], exported(fleet.id)["relations"]
    assert (of_customer["preferred_at"], of_customer["blocked_by_transporter_at"]) != (None, None)
    assert of_customer["blocked_by_transporter_at"] is None
    assert of_fleet["preferred_at"] is None
    assert of_fleet["blocked_by_transporter_at"] is not None
    assert of_customer["contracted_at"] == of_fleet["contracted_at"] is not None


def test_a_block_outlives_an_erasure(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    fleet = Fleet(scene.transporter.id)
    block(world, "transporter", scene.customer.id, fleet)
    assert scene.erase(scene.customer.id).status == "succeeded"
    [row] = world.rows("SELECT * FROM relations")
    assert row.blocked_by_transporter_at is not None
