"""Rings: which transporters are offered a broadcast, and when."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import World
from weelo_workers.contracts.broadcasts import WidenBroadcast
from weelo_workers.models.engine import engine
from weelo_workers.queries import offer_list
from weelo_workers.queries.offer_explanation import explain
from weelo_workers.queries.pages import PageRequest
from weelo_workers.redis_client import redis


def test_RADI_01_each_ring_reaches_the_next_fleets_and_the_last_reaches_everyone_online(world: World) -> None:
    near, next_town, far, farther, very_far = (world.fleet(km_north=km) for km in (3, 20, 40, 60, 300))
    broadcast = world.broadcast(1)
    assert world.told_at(broadcast) == {near.id: 1}
    for _ in range(4):
        world.tick(15)
    assert world.told_at(broadcast) == {
        near.id: 1,
        next_town.id: 2,
        far.id: 3,
        farther.id: 4,
        very_far.id: 5,
    }


def test_RADI_01_nobody_is_told_twice(world: World) -> None:
    fleet = world.fleet(km_north=3)
    world.broadcast(1)
    for _ in range(6):
        world.tick(15)
    assert len(world.events_of(fleet.id, "new_broadcast")) == 1


def test_RADI_01_the_nearest_are_asked_first_when_there_are_too_many(world: World, monkeypatch) -> None:
    with_settings(monkeypatch, max_offers_per_step=2)
    fleets = [world.fleet(km_north=km) for km in (8, 2, 5)]
    world.drain()
    broadcast = world.broadcast(1)
    assert set(world.told_at(broadcast)) == {fleets[1].id, fleets[2].id}
    world.tick(15)
    assert world.told_at(broadcast)[fleets[0].id] == 2


def test_RADI_01_rings_stop_when_full_cancelled_or_expired(world: World) -> None:
    fleet = world.fleet(km_north=3)
    late = [world.fleet(km_north=20) for _ in range(3)]
    filled, cancelled = world.broadcast(1), world.broadcast(1)
    world.accept(fleet, filled)
    world.cancel(cancelled)
    world.tick(15)
    assert not any(
        fleet.id in world.told_at(broadcast) for fleet in late for broadcast in (filled, cancelled)
    )


def test_only_fleets_with_a_free_truck_of_the_kind_that_want_work_are_told(world: World) -> None:
    right = world.fleet(km_north=1)
    world.fleet(km_north=1, kind="32 Feet Multi Axle")
    world.fleet(km_north=1, online=False)
    busy = world.fleet(km_north=1)
    first = world.broadcast(1)
    world.accept(busy, first)
    offline = world.fleet(km_north=1)
    world.set_availability(offline, online=False)

    broadcast = world.broadcast(1)
    assert set(world.told_at(broadcast)) == {right.id}


def test_the_same_kind_is_found_however_it_is_written(world: World) -> None:
    fleet = world.fleet(kind="17 Feet Open")
    assert set(world.told_at(world.broadcast(1, kind="open 17ft"))) == {fleet.id}


def test_offers_carry_each_transporters_own_distance(world: World) -> None:
    near, far = world.fleet(km_north=2), world.fleet(km_north=7)
    world.broadcast(1)
    world.drain()
    assert 1.9 < world.events_of(near.id, "new_broadcast")[0]["pickupDistanceKm"] < 2.1
    assert 6.9 < world.events_of(far.id, "new_broadcast")[0]["pickupDistanceKm"] < 7.1


def test_distances_leave_the_server_with_two_decimals_and_are_stored_in_full(world: World) -> None:
    fleet = world.fleet(km_north=7)
    broadcast = world.broadcast(1)
    world.drain()
    stored = world.value("SELECT distance_km FROM offers")
    assert stored != round(stored, 2)
    with Session(engine()) as session:
        [offer] = offer_list.offers(session, fleet.id, PageRequest(20, None)).items
        why = explain(session, broadcast, fleet.id, None)
    assert why is not None
    [event] = world.events_of(fleet.id, "new_broadcast")
    for seen in (event, offer, why.json_dict()):
        assert seen["pickupDistanceKm"] == round(stored, 2)


def test_TIMR_03_a_step_that_comes_twice_or_late_tells_nobody_again(world: World) -> None:
    world.fleet(km_north=3)
    broadcast = world.broadcast(1)
    version = world.value("SELECT version FROM broadcasts WHERE id = :id", id=broadcast)
    for step in (1, 1, 0, 7, 99):
        world.bus.execute(_timer(world, WidenBroadcast(broadcast_id=broadcast, step=step)))
    assert world.value("SELECT version FROM broadcasts WHERE id = :id", id=broadcast) == version


def test_a_fleet_that_fell_silent_is_not_told(world: World) -> None:
    fleet = world.fleet(km_north=3)
    world.drain()
    redis().set("weelo:presence:since", 1)
    redis().zadd("weelo:presence:seen", {str(fleet.id): 1})
    assert world.told_at(world.broadcast(1)) == {}


def test_PRES_02_with_an_emptied_redis_those_who_said_they_want_work_are_found_by_their_rows(
    world: World,
) -> None:
    fleet = world.fleet(km_north=3)
    redis().flushdb()
    assert world.told_at(world.broadcast(1)) == {fleet.id: 5}


def _timer(world: World, command: WidenBroadcast) -> UUID:
    from weelo_workers.contracts.statuses import Role

    return world.post(command, uuid4(), Role.ADMIN)


def test_what_an_accept_changed_while_a_ring_was_searched_for_is_told_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weelo_workers.broadcasts import matching, rings

    near, _ = world.fleet(km_north=3), world.fleet(km_north=20)
    customer = uuid4()
    broadcast = world.broadcast(3, customer=customer)
    search = matching.search_presence

    def slow_search(*args: Any) -> Any:
        found = search(*args)
        world.accept(near, broadcast)
        return found

    monkeypatch.setattr(rings, "search_presence", slow_search)
    world.tick(15)
    filled = [(f["version"], f["trucksFilled"]) for f in world.events_of(customer, "broadcast_state_changed")]
    assert filled == [(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]


def test_who_goes_offline_while_a_ring_is_searched_for_is_not_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weelo_workers.broadcasts import matching, rings

    near, fleet = world.fleet(km_north=2), world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    search = matching.search_presence

    def slow_search(*args: Any) -> Any:
        found = search(*args)
        world.set_availability(fleet, online=False)
        return found

    monkeypatch.setattr(rings, "search_presence", slow_search)
    world.tick(15)
    assert set(world.told_at(broadcast)) == {near.id}
