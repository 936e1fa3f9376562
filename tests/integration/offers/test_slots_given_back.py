"""A fleet that gave a slot back cannot take it again. The offers of the new search count towards the cap."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import KINDS, World
from weelo_workers.queries.open_offers import open_offers_of


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


def test_WAYS_02_an_offer_counts_towards_the_cap_as_long_as_its_slot_is_searched_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, reoffer_seconds=4 * 3600)
    loser, other = world.fleet(), world.fleet()
    broadcast = world.broadcast()
    world.accept(loser, broadcast)
    world.drivers_accept(broadcast)
    world.give_back(world.assignments(broadcast)[0])
    world.drain()
    world.shift(2 * 3600)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE offers SET offered_at = offered_at - interval '2 hours'"))
    assert world.status(broadcast) == "active"
    with Session(world.engine) as session:
        assert len(open_offers_of(session, other.id, datetime.now(UTC))) == 1
