"""The cap on a transporter's open offers: far offers never prevent near ones."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.exceptions import RedisError
from sqlalchemy import literal, select, text
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.waiting import eventually
from tests.support.world import DELHI, Fleet, World, place
from weelo_workers import presence
from weelo_workers.broadcasts import matching, offering, rings
from weelo_workers.contracts.broadcasts import OfferLate
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.offer_cap import OfferRank, has_room
from weelo_workers.models import Broadcast
from weelo_workers.queries.offer_explanation import explain
from weelo_workers.queries.open_offers import leaves_room
from weelo_workers.queries.pages import PageRequest
from weelo_workers.queries.recipients import recipients
from weelo_workers.redis_client import redis

MUMBAI = -1142.0
"""The distance of Mumbai in kilometres north of the default place, which is in Delhi; negative, because it is south."""


def all_rings_told(world: World, many: int) -> list[UUID]:
    """Create requests in Delhi, and let time pass until their last step has offered them to every transporter online."""
    broadcasts = [world.broadcast(1) for _ in range(many)]
    for _ in range(5):
        world.tick(15)
    return broadcasts


def comes_online(world: World, km_north: float) -> Fleet:
    """Return a transporter who has gone online, has sent a position, and has been offered what was open."""
    fleet = world.fleet(km_north=km_north)
    world.drain()
    return fleet


def offered(world: World, fleet: Fleet) -> set[UUID]:
    rows = world.rows("SELECT broadcast_id FROM offers WHERE transporter_id = :id", id=fleet.id)
    return {row.broadcast_id for row in rows}


def passed_over(world: World, broadcast: UUID) -> list[tuple[UUID, str]]:
    rows = world.rows(
        "SELECT DISTINCT transporter_id, reason FROM passed_over WHERE broadcast_id = :id", id=broadcast
    )
    return [(row.transporter_id, row.reason) for row in rows]


def test_RADI_01_a_surge_elsewhere_prevents_no_near_offer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=3)
    surge = all_rings_told(world, 5)
    fleet = comes_online(world, MUMBAI)
    assert offered(world, fleet) < set(surge)
    assert len(offered(world, fleet)) == 3
    near = world.broadcast(1, at=place(MUMBAI + 3.5))
    assert world.told_at(near) == {fleet.id: 1}


def test_at_its_cap_a_transporter_still_gets_what_is_nearer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=2)
    fleet = world.fleet(km_north=0)
    for km in (6, 7):
        world.broadcast(1, at=place(km))
    farther, nearer = world.broadcast(1, at=place(8)), world.broadcast(1, at=place(6.5))
    assert farther not in offered(world, fleet)
    assert nearer in offered(world, fleet)
    assert passed_over(world, farther) == [(fleet.id, "too_many_offers")]


def test_offers_of_the_last_step_leave_room_for_rings_and_the_nearest_of_them_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=2)
    kilometres = (300, 100, 200)
    requests = {km: world.broadcast(1, at=place(km)) for km in kilometres}
    for _ in range(5):
        world.tick(15)
    fleet = comes_online(world, 0)
    assert offered(world, fleet) == {requests[100], requests[200]}
    in_ring = world.broadcast(1, at=place(2))
    assert in_ring in offered(world, fleet)
    still_nearer = world.broadcast(1, at=place(9))
    assert still_nearer in offered(world, fleet)
    assert passed_over(world, requests[300]) == [(fleet.id, "too_many_offers")]


@pytest.mark.parametrize("way", ["first rings", "next rings", "late offers"])
def test_the_cap_holds_exactly_when_many_offers_are_made_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with_settings(monkeypatch, max_open_offers=3)
    if way == "first rings":
        fleets = [world.fleet(km_north=0) for _ in range(4)]
        due = "broadcasts.create_booking"
        for _ in range(10):
            world.post(world.booking(customer := uuid4(), at=place(5)), customer, Role.CUSTOMER)
    elif way == "next rings":
        with_settings(monkeypatch, max_open_offers=3, min_offers_per_step=0)
        fleets = [world.fleet(km_north=0) for _ in range(4)]
        due = "broadcasts.widen"
        for _ in range(10):
            world.book(uuid4(), at=place(20))
        world.shift(15)
    else:
        fleets = []
        due = "broadcasts.offer_late"
        all_rings_told(world, 10)
        for _ in range(2):
            fleet = world.fleet(km_north=0)
            for row in world.rows("SELECT id FROM broadcasts"):
                late = OfferLate(broadcast_id=row.id, transporter_id=fleet.id)
                world.post(late, uuid4(), Role.ADMIN)
            fleets.append(fleet)
    commands = world.rows("SELECT id FROM mailbox WHERE name = :due AND settled_at IS NULL", due=due)
    assert len(commands) >= 10
    world.race(*[lambda row=row: world.bus.execute(row.id) for row in commands])
    world.drain()
    assert [len(offered(world, fleet)) for fleet in fleets] == [3] * len(fleets)


def test_offers_of_the_town_that_a_transporter_has_left_prevent_none_where_they_are_now(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=2)
    fleet = world.fleet(km_north=0)
    for km in (2, 3, 4):
        world.broadcast(1, at=place(km))
    assert len(offered(world, fleet)) == 2
    world.heartbeat(fleet, MUMBAI)
    world.drain()
    near = [world.broadcast(1, at=place(MUMBAI + km)) for km in (8, 9)]
    third = world.broadcast(1, at=place(MUMBAI + 9.5))
    assert set(near) <= offered(world, fleet)
    assert passed_over(world, third) == [(fleet.id, "too_many_offers")]


def test_a_heartbeat_after_a_long_move_finds_requests_although_the_list_was_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    fleet = world.fleet(km_north=20)
    delhi = [world.broadcast(1, at=place(20 + km)) for km in (2, 3)]
    waiting = world.broadcast(1, at=place(MUMBAI + 8))
    presence.mark_full(fleet.id, 3, 60)
    assert offered(world, fleet) == {delhi[0]}
    world.heartbeat(fleet, MUMBAI)
    world.drain()
    assert waiting in offered(world, fleet)


def test_requests_that_offers_of_the_last_town_prevent_hide_no_farther_ones_from_a_catch_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    fleet = world.fleet(km_north=0)
    old = world.broadcast(1)
    world.set_availability(fleet, online=False)
    *refused, beyond = (world.broadcast(1, at=place(km)) for km in (38, 38.1, 38.2, 90))
    for _ in range(5):
        world.tick(15)
    world.set_availability(fleet, online=True)
    world.heartbeat(fleet, 60)
    world.drain()
    assert passed_over(world, refused[-1]) == [(fleet.id, "too_many_offers")]
    assert offered(world, fleet) == {old, beyond}


def test_requests_that_offers_of_the_last_town_prevent_hide_no_farther_ones_from_heartbeats(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1, radius_steps_km="25", min_offers_per_step=0)
    fleet = world.fleet(km_north=0)
    old = world.broadcast(1)
    # One heartbeat causes at most 20 late offers. These 20 requests cannot be offered, and must not count towards that
    # limit.
    refused = [world.broadcast(1, at=place(38)) for _ in range(20)]
    beyond = world.broadcast(1, at=place(82.5))
    for km in (9, 58, 58):
        assert offered(world, fleet) == {old}
        world.heartbeat(fleet, km)
        world.drain()
    assert all(passed_over(world, each) == [(fleet.id, "too_many_offers")] for each in refused)
    assert offered(world, fleet) == {old, beyond}


def test_the_room_that_a_query_finds_is_the_room_of_the_rule(world: World) -> None:
    random = Random(7)
    broadcasts = [world.broadcast(1, at=place(km)) for km in (0, 1, 20, 38, 90)]
    with Session(world.engine) as session:
        pickups = {row.id: row.pickup for row in session.scalars(select(Broadcast))}
        for _ in range(100):
            open_offers = [
                OfferRank(random.uniform(0, 40), random.random() < 0.3, pickup=(at.latitude, at.longitude))
                for at in (place(random.uniform(-20, 100)) for _ in range(4))
            ]
            km, last_step, cap = random.uniform(0.5, 40), random.random() < 0.5, random.choice((1, 2, 5))
            room = leaves_room(open_offers, literal(km), last_step=literal(last_step), cap=cap)
            found = set(session.scalars(select(Broadcast.id).where(room)))
            assert found == {
                id
                for id, at in pickups.items()
                if has_room(
                    open_offers, OfferRank(km, last_step, pickup=(at["latitude"], at["longitude"])), cap
                )
            }
    assert set(pickups) == set(broadcasts)


def test_the_distance_without_room_stays_while_a_transporter_stays(world: World) -> None:
    fleet = world.fleet(km_north=0)
    presence.mark_full(fleet.id, 3, 60)
    presence.mark_full(fleet.id, 5, 60)
    distance, *position = str(redis().get(f"weelo:open:full:{fleet.id}")).split()
    assert (float(distance), len(position)) == (3, 1)
    world.heartbeat(fleet, MUMBAI)
    presence.mark_full(fleet.id, 5, 60)
    assert float(str(redis().get(f"weelo:open:full:{fleet.id}")).split()[0]) == 5


def test_a_decline_makes_room_and_the_requests_passed_over_are_offered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    fleet = world.fleet(km_north=0)
    nearer, farther = world.broadcast(1, at=place(2)), world.broadcast(1, at=place(3))
    assert offered(world, fleet) == {nearer}
    world.decline(fleet, nearer)
    world.drain()
    assert offered(world, fleet) == {nearer, farther}


def test_the_last_step_asks_the_nearest_first_and_a_newcomer_waits_for_the_portion_of_their_distance(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=2)
    fleets = {km: world.fleet(km_north=km) for km in (500, 100, 400, 200, 300)}
    broadcast = world.broadcast(1)
    assert set(world.told_at(broadcast)) == {fleets[100].id, fleets[200].id}
    assert float(world.value("SELECT radius_km FROM broadcasts")) == pytest.approx(200, rel=0.01)
    late_near, late_far = comes_online(world, 150), comes_online(world, 450)
    assert late_near.id in world.told_at(broadcast)
    assert late_far.id not in world.told_at(broadcast)
    world.tick(15)
    assert {fleets[300].id, fleets[400].id} <= set(world.told_at(broadcast))
    world.tick(15)
    assert {late_far.id, fleets[500].id} <= set(world.told_at(broadcast))
    world.tick(15)
    assert world.value("SELECT radius_km FROM broadcasts") is None
    assert comes_online(world, 3000).id in world.told_at(broadcast)


@pytest.mark.parametrize("limit", [0, 2000], ids=["no limit", "within 2000 km"])
def test_PRES_01_near_requests_are_offered_even_if_the_place_is_known_only_after_going_online(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """When the transporter goes online, open requests are searched without a position.

    The first heartbeat starts another search, around its position.
    """
    with_settings(monkeypatch, max_open_offers=3, last_step_max_km=limit)
    for km in range(20):
        world.broadcast(1, at=place(1000 + km))
    near = world.broadcast(1, at=place(3.5))
    for _ in range(5):
        world.tick(15)
    fleet = world.fleet(online=False)
    world.set_availability(fleet, online=True)
    world.drain()
    world.heartbeat(fleet, 0)
    world.drain()
    assert near in offered(world, fleet)


@pytest.mark.parametrize("step", ["at the creation", "at the last step"])
def test_a_transporter_who_comes_online_between_a_steps_search_and_its_commit_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    # The start of presence is moved into the past. A transporter who is missing in presence counts as offline only if
    # presence is older than one TTL.
    redis().set("weelo:presence:since", 1)
    if step == "at the last step":
        world.fleet(km_north=70)
        broadcast = world.broadcast(1)
    latecomers: list[Fleet] = []
    search = matching.search_presence

    def slow_search(*args: Any) -> Any:
        found = search(*args)
        if not latecomers and (step == "at the last step" or args[-1].last):
            fleet = world.fleet(km_north=300, online=False)
            world.set_availability(fleet, online=True)
            world.heartbeat(fleet, 300)
            for row in world.rows(
                "SELECT id FROM mailbox WHERE name = 'broadcasts.catch_up' AND settled_at IS NULL"
            ):
                world.bus.execute(row.id)
            latecomers.append(fleet)
        return found

    monkeypatch.setattr(rings, "search_presence", slow_search)
    if step == "at the last step":
        world.tick(15)
    else:
        broadcast = world.broadcast(1)
    assert world.told_at(broadcast).keys().isdisjoint({latecomers[0].id})
    world.tick(2)
    assert latecomers[0].id in world.told_at(broadcast)


@pytest.mark.parametrize("end", ["cancelled", "expired", "filled"])
def test_the_end_of_a_request_makes_room_and_its_transporters_get_the_requests_that_passed_them_over(
    world: World, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    fleet, other = world.fleet(trucks=2, km_north=0), world.fleet(km_north=2)
    nearer = world.broadcast(1, at=place(2))
    farther, farthest = world.broadcast(1, at=place(4)), world.broadcast(1, at=place(5))
    assert offered(world, fleet) == offered(world, other) == {nearer}
    if end == "cancelled":
        world.cancel(nearer)
    elif end == "filled":
        world.accept(other, nearer)
    else:
        with world.engine.begin() as connection:
            statement = "UPDATE broadcasts SET expires_at = clock_timestamp() WHERE id = :id"
            connection.execute(text(statement), {"id": nearer})
            due = "UPDATE mailbox SET due_at = clock_timestamp() WHERE payload->>'broadcast_id' = :id"
            connection.execute(text(due), {"id": str(nearer)})
    world.drain()
    assert farther in offered(world, fleet)
    assert farthest not in offered(world, fleet)
    commands = "SELECT count(*) FROM mailbox WHERE name = 'broadcasts.offer_passed_over'"
    assert world.value(commands) == 1
    # The end of a surge causes hundreds of these commands. They use the queue `fleet`, because new bookings on the queue
    # `broadcasts` would wait behind them.
    queues = "SELECT array_agg(DISTINCT queue) FROM mailbox WHERE name IN ('broadcasts.backfill', 'broadcasts.offer_passed_over')"
    assert world.value(queues) == ["fleet"]


def test_TMOT_02_nobody_accepted_is_the_reason_only_if_there_was_an_offer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    requests = all_rings_told(world, 8)
    comes_online(world, 0)
    world.tick(121)
    reasons = world.rows("SELECT id, end_reason FROM broadcasts ORDER BY end_reason")
    assert len(requests) == 8
    assert [row.end_reason for row in reasons] == ["nobody_accepted"] + ["nobody_free"] * 7


def test_TMOT_02_a_silent_phone_nearby_does_not_hide_transporters_who_are_online(world: World) -> None:
    busy, stale = world.fleet(km_north=5), world.fleet(km_north=1)
    redis().zadd("weelo:presence:seen", {str(stale.id): 1})
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.execute(text("DELETE FROM offers WHERE transporter_id = :id"), {"id": busy.id})
        connection.execute(text("UPDATE broadcasts SET transporters_notified = 0"))
    presence.heartbeat(busy.id, presence.Point(*DELHI))
    presence.online(stale.id, ["open:17ft"], stamp=2e9)
    redis().zadd("weelo:presence:seen", {str(stale.id): 1})
    assert expired_because(world, broadcast) == "nobody_free"


def test_LAST_STEP_MAX_KM_bounds_the_last_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, last_step_max_km=200)
    within, beyond = world.fleet(km_north=150), world.fleet(km_north=300)
    broadcast = world.broadcast(1)
    for _ in range(3):
        world.tick(15)
    late_within, late_beyond = comes_online(world, -190), comes_online(world, -210)
    assert set(world.told_at(broadcast)) == {within.id, late_within.id}
    with Session(world.engine) as session:
        answer = explain(session, broadcast, beyond.id, 0)
    assert answer is not None
    assert answer.answer == "not offered: they are 299.6 km away, the rings reached 200.0 km"
    assert late_beyond.id not in world.told_at(broadcast)


def test_driving_into_a_bounded_last_step_brings_the_offer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, last_step_max_km=100)
    driving = world.fleet(km_north=300)
    broadcast = world.broadcast(1)
    assert world.value("SELECT radius_step FROM broadcasts") == 5
    world.heartbeat(driving, 4)
    world.drain()
    assert world.told_at(broadcast) == {driving.id: 5}


def test_transporters_without_room_are_passed_in_portions_without_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=1, max_open_offers=1)
    full = [world.fleet(km_north=100 + n) for n in range(4)]
    world.drain()
    for fleet, km in zip(full, range(4), strict=True):
        world.broadcast(1, at=place(100 + km))
        assert len(offered(world, fleet)) == 1
    free = world.fleet(km_north=400)
    broadcast = world.broadcast(1, at=place(0))
    assert set(world.told_at(broadcast)) == {free.id}


def test_COST_02_the_heartbeats_of_a_transporter_without_room_bring_up_nothing_farther(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=2)
    fleet = world.fleet(km_north=0)
    # Each request gets a near transporter below the cap. Without one, its ring would make no offer, and the next ring would
    # follow at once.
    for km in (2, 3, 4, 5, 6, 7):
        world.fleet(km_north=km)
        world.broadcast(1, at=place(km))
    assert len(offered(world, fleet)) == 2
    late_offers = "SELECT count(*) FROM mailbox WHERE name = 'broadcasts.offer_late' AND payload->>'transporter_id' = :id"

    def brought_up(before: int) -> int:
        """Send a heartbeat. Return the number of the fleet's `broadcasts.offer_late` commands minus `before`."""
        world.heartbeat(fleet, 0)
        world.drain()
        return int(world.value(late_offers, id=str(fleet.id))) - before

    counts: list[int] = []
    for _ in range(4):
        for key in redis().scan_iter("weelo:open:asked:*"):
            redis().delete(key)
        # The heartbeat is repeated, because it has no effect while Redis answers slowly.
        counts.append(eventually(partial(brought_up, sum(counts))))
    assert counts == [4, 1, 1, 1], "the first heartbeat brings up all four, the others the nearest"
    nearer = world.broadcast(1, at=place(1))
    assert nearer in offered(world, fleet)


def expired_because(world: World, broadcast: UUID) -> str:
    customer = world.customer_of(broadcast)
    world.tick(121)
    assert world.status(broadcast) == "expired"
    reasons = {frame["reason"] for frame in world.events_of(customer, "no_vehicles_available")}
    assert reasons == {frame["reason"] for frame in world.events_of(customer, "booking_expired")}
    assert len(reasons) == 1
    return str(reasons.pop())


def test_TMOT_02_a_request_that_reached_only_transporters_at_their_cap_ends_with_nobody_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    world.fleet(km_north=0)
    world.broadcast(1, at=place(1))
    assert expired_because(world, world.broadcast(1, at=place(2))) == "nobody_free"


def test_TMOT_02_a_request_while_all_trucks_are_on_the_road_ends_with_nobody_free(
    world: World,
) -> None:
    on_the_road(world, 1)
    assert expired_because(world, world.broadcast(1)) == "nobody_free"


@pytest.mark.parametrize("then", ["offline", "silent", "free"])
def test_TMOT_02_a_transporter_on_the_road_who_leaves_later_was_online(world: World, then: str) -> None:
    """The broadcast expires with the reason `nobody_free`, because a step found the transporter online."""
    redis().set("weelo:presence:since", 1)
    fleet = on_the_road(world, 1)
    broadcast = world.broadcast(1)
    assert passed_over(world, broadcast) == [(fleet.id, "no_free_truck")]
    absent(world, fleet, then)
    assert expired_because(world, broadcast) == "nobody_free"


@pytest.mark.parametrize("then", ["offline", "silent"])
def test_TMOT_02_a_transporter_on_the_road_who_was_online_between_two_steps_was_online(
    world: World, then: str
) -> None:
    """No step found the transporter, but they were recorded when they came online within reach of the broadcast."""
    redis().set("weelo:presence:since", 1)
    fleet = on_the_road(world, 1)
    world.set_availability(fleet, online=False)
    broadcast = world.broadcast(1)
    world.tick(100)
    assert passed_over(world, broadcast) == []
    world.set_availability(fleet, online=True)
    world.heartbeat(fleet, 1)
    world.drain()
    assert passed_over(world, broadcast) == [(fleet.id, "no_free_truck")]
    absent(world, fleet, then)
    assert expired_because(world, broadcast) == "nobody_free"


def absent(world: World, fleet: Fleet, how: str) -> None:
    if how == "offline":
        world.set_availability(fleet, online=False)
    if how == "silent":
        redis().zadd("weelo:presence:seen", {str(fleet.id): 1})


@pytest.mark.parametrize("how", ["offline", "silent", "of another kind", "out of reach"])
def test_TMOT_02_a_transporter_who_cannot_be_told_is_not_online(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with_settings(monkeypatch, last_step_max_km=100)
    kind = "14 Feet" if how == "of another kind" else "17 Feet"
    fleet = world.fleet(km_north=110 if how == "out of reach" else 1, kind=kind)
    first = world.broadcast(1, kind=kind, at=place(110 if how == "out of reach" else 1))
    world.accept(fleet, first)
    world.drivers_accept(first)
    world.drain()
    absent(world, fleet, how)
    assert expired_because(world, world.broadcast(1)) == "no_transporter_online"


def test_TMOT_02_with_redis_away_available_fleets_with_trucks_on_the_road_count_as_online(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_road(world, 1)
    broadcast = world.broadcast(1)

    def unreachable() -> None:
        raise RedisError

    monkeypatch.setattr(presence, "redis", unreachable)
    assert expired_because(world, broadcast) == "nobody_free"


def test_all_transporters_told_or_passed_over_are_listed_with_reason_and_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1, max_offers_per_step=2)
    declines, wins, full, next_one = (world.fleet(km_north=km) for km in (1, 2, 0.5, 3))
    world.drain()
    world.broadcast(1, at=place(0.5))
    for fleet in (declines, wins, next_one):
        for each in offered(world, fleet):
            world.decline(fleet, each)
    broadcast = world.broadcast(1)
    world.decline(declines, broadcast)
    world.accept(wins, broadcast)
    with Session(world.engine) as session:
        page = recipients(session, broadcast, PageRequest(10, None))
        assert page is not None
        first = recipients(session, broadcast, PageRequest(2, None))
        assert first is not None
        assert first.next_cursor is not None
        second = recipients(session, broadcast, PageRequest(2, first.next_cursor))
        assert second is not None
        assert recipients(session, uuid4(), PageRequest(2, None)) is None
    assert first.items + second.items == page.items
    by_id = {item["transporterId"]: item for item in page.items}
    assert {
        transporter_id: (item["offered"], item["reason"], item["answer"])
        for transporter_id, item in by_id.items()
    } == {
        str(declines.id): (True, None, "declined"),
        str(wins.id): (True, None, "accepted"),
        str(full.id): (False, "too_many_offers", None),
        str(next_one.id): (False, "next_step", None),
    }
    assert by_id[str(wins.id)]["trucksWon"] == 1
    assert by_id[str(next_one.id)]["pickupDistanceKm"] == pytest.approx(3, rel=0.01)
    assert {item["radiusStep"] for item in page.items} == {1}


def test_a_transporter_who_gets_an_offer_between_two_pages_is_listed_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transporter was passed over and then gets an offer. The entry in the list changes, but keeps its place."""
    with_settings(monkeypatch, max_open_offers=1)
    fleets = [world.fleet(km_north=km) for km in (1, 2, 3)]
    near = world.broadcast(1, at=place(1))
    broadcast = world.broadcast(1, at=place(-5))
    everyone, listed, cursor = {str(fleet.id) for fleet in fleets}, list[str](), None
    with Session(world.engine) as session:
        while True:
            page = recipients(session, broadcast, PageRequest(1, cursor))
            assert page is not None
            listed += [item["transporterId"] for item in page.items]
            if (cursor := page.next_cursor) is None:
                break
            session.rollback()
            for fleet in fleets:
                if str(fleet.id) not in listed and near in offered(world, fleet):
                    world.decline(fleet, near)
            world.tick(20)
    assert sorted(listed) == sorted(everyone)


def on_the_road(world: World, km_north: float) -> Fleet:
    """Return an online transporter whose only truck is on the road."""
    fleet = world.fleet(km_north=km_north)
    broadcast = world.broadcast(1, at=place(km_north))
    for other in world.rows("SELECT transporter_id FROM offers WHERE broadcast_id = :id", id=broadcast):
        if other.transporter_id != fleet.id:
            world.decline(Fleet(other.transporter_id), broadcast)
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    world.drain()
    return fleet


def records_of(world: World, broadcast: UUID, fleet: Fleet) -> list[tuple[int, str]]:
    rows = world.rows(
        "SELECT step, reason FROM passed_over WHERE broadcast_id = :id AND transporter_id = :fleet ORDER BY step",
        id=broadcast,
        fleet=fleet.id,
    )
    return [(row.step, row.reason) for row in rows]


def test_transporters_on_the_road_do_not_crowd_those_at_their_cap_out_of_the_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transporter at their cap gets the offer later, when they have fewer offers, but only if a step recorded them."""
    with_settings(monkeypatch, max_open_offers=1)
    monkeypatch.setattr(offering, "MAX_PASSED_OVER_PER_STEP", 1)
    on_the_road(world, 1)
    full = world.fleet(km_north=3)
    nearer = world.broadcast(1, at=place(3))
    broadcast = world.broadcast(1)
    assert passed_over(world, broadcast) == [(full.id, "too_many_offers")]
    world.cancel(nearer)
    world.drain()
    assert broadcast in offered(world, full)


@pytest.mark.parametrize("min_offers_per_step", [0, 1])
def test_a_transporter_on_the_road_is_recorded_once_though_several_steps_meet_them(
    world: World, monkeypatch: pytest.MonkeyPatch, min_offers_per_step: int
) -> None:
    with_settings(monkeypatch, min_offers_per_step=min_offers_per_step)
    busy = [on_the_road(world, km) for km in (1, 2)]
    # The next ring follows at once if a ring makes no offer. So two transporters who get offers are added.
    for km in (3, 7):
        world.fleet(km_north=km)
    broadcast = world.broadcast(1)
    for _ in range(6):
        world.tick(15)
    assert [records_of(world, broadcast, each) for each in busy] == [[(1, "no_free_truck")]] * 2
    counts = [
        row.details["passedOver"]
        for row in world.rows(
            "SELECT details FROM transitions WHERE broadcast_id = :id AND details ? 'passedOver' ORDER BY id",
            id=broadcast,
        )
    ]
    assert len(counts) > 2
    assert all(each == {"no_free_truck": 2} for each in counts), "each step counts them"


def test_rings_without_a_free_truck_record_those_on_the_road_in_one_step(world: World) -> None:
    """One transaction searches all successive rings that have no free truck.

    The passed-over transporters that are recorded for the widest ring include those within the narrower rings.
    """
    busy = on_the_road(world, 1)
    broadcast = world.broadcast(1)
    assert [reason for _, reason in records_of(world, broadcast, busy)] == ["no_free_truck"]
    absent(world, busy, "offline")
    assert expired_because(world, broadcast) == "nobody_free"


def test_the_newest_reason_is_recorded_also_after_another_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    fleet = on_the_road(world, 1)
    world.fleet(km_north=3)
    broadcast = world.broadcast(1, at=place(0.5))
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE passed_over SET reason = 'too_many_offers'"))
    world.fleet(km_north=7)
    world.tick(15)
    assert records_of(world, broadcast, fleet) == [(1, "too_many_offers"), (2, "no_free_truck")]


def test_a_step_counts_all_transporters_whom_it_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    monkeypatch.setattr(offering, "MAX_PASSED_OVER_PER_STEP", 1)
    for km in (1, 2, 3):
        world.fleet(km_north=km)
    broadcast = world.broadcast(1)
    assert len(passed_over(world, broadcast)) == 1
    details = world.value("SELECT details FROM transitions WHERE name = 'begin'")
    assert details["passedOver"] == {"next_step": 2}
