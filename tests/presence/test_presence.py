"""Presence on a real Redis. Its searches return the same as a matcher that checks every fleet."""

from __future__ import annotations

import random
import threading
from uuid import UUID, uuid4

import pytest

from weelo_workers import presence
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.presence import Point
from weelo_workers.redis_client import redis
from weelo_workers.settings import settings

KINDS = ("open:17ft", "container:20ft", "tipper:9-11t")
TTL = settings().presence_ttl_seconds


@pytest.fixture(autouse=True)
def emptied() -> None:
    redis().flushdb()
    redis().set("weelo:presence:since", 1)


def comes(dice: random.Random, kinds: list[str], where: Point) -> UUID:
    transporter_id = UUID(int=dice.getrandbits(128), version=4)
    presence.online(transporter_id, kinds, stamp=1.0)
    presence.heartbeat(transporter_id, where, any_distance=True)
    return transporter_id


def somewhere(dice: random.Random, near: Point) -> Point:
    """Return a position: mostly around `near`, sometimes anywhere on Earth."""
    if dice.random() < 0.1:
        return Point(dice.uniform(-90, 90), dice.uniform(-180, 180))
    longitude = near.longitude + dice.gauss(0, 0.5)
    return Point(max(-90.0, min(90.0, near.latitude + dice.gauss(0, 0.4))), (longitude + 180) % 360 - 180)


def where_people_live(dice: random.Random, near: Point) -> Point:
    """Return a position as `somewhere` does, but with a latitude that Redis's index covers."""
    where = somewhere(dice, near)
    return Point(max(-80.0, min(80.0, where.latitude)), where.longitude)


CENTRES = (
    Point(28.63, 77.22),
    Point(0, 0),
    Point(60, 179.9),
    Point(89.9, 10),
    Point(-89.0, -170),
    Point(84.9, 0),
)


def _reach(km: float | None) -> Reach:
    return Reach.everyone() if km is None else Reach.within(km)


@pytest.mark.parametrize("centre", CENTRES, ids=str)
def test_searches_agree_with_a_matcher_that_looks_at_everybody(centre: Point) -> None:
    """For each of six places 170 fleets are made and 170 searches compared: about a thousand of each in total."""
    dice = random.Random(f"{centre}")
    fleets: dict[UUID, tuple[list[str], Point]] = {}
    for _ in range(170):
        kinds, where = dice.sample(KINDS, dice.randint(1, 3)), somewhere(dice, centre)
        fleets[comes(dice, kinds, where)] = (kinds, where)
    for _ in range(170):
        kinds, pickup = dice.sample(KINDS, dice.randint(1, 2)), somewhere(dice, centre)
        radius = dice.choice((10.0, 25.0, 50.0, 75.0, None))
        expected = {
            transporter_id: pickup.km_to(where)
            for transporter_id, (kinds_of_fleet, where) in fleets.items()
            if set(kinds_of_fleet) & set(kinds) and (radius is None or pickup.km_to(where) <= radius)
        }
        assert presence.search(kinds, pickup, _reach(radius)).near == pytest.approx(expected)


def test_PRES_02_who_is_silent_for_one_ttl_is_found_by_nobody_and_named_as_silent() -> None:
    transporter_id = comes(random.Random(1), [KINDS[0]], CENTRES[0])
    redis().zincrby("weelo:presence:seen", -TTL - 1, str(transporter_id))
    reach = presence.search([KINDS[0]], CENTRES[0], Reach.within(10))
    assert reach == presence.SearchResult({}, frozenset({transporter_id}))
    # UNKNOWN tells the caller to read the fleet's rows and to write them to presence. Until then no search finds the
    # fleet.
    assert presence.heartbeat(transporter_id, CENTRES[0]) is presence.Absent.UNKNOWN
    assert presence.search([KINDS[0]], CENTRES[0], Reach.within(10)).near == {}


def test_no_marker_outlives_its_ttl_even_if_nobody_searches() -> None:
    dice = random.Random(2)
    stale = [comes(dice, list(KINDS), CENTRES[0]) for _ in range(5)]
    alive = comes(dice, [KINDS[0]], CENTRES[0])
    for transporter_id in stale:
        redis().zincrby("weelo:presence:seen", -TTL - 1, str(transporter_id))
    assert presence.evict_stale(at_most=3) == 3
    assert presence.evict_stale(at_most=3) == 2
    assert redis().zrange(f"weelo:presence:geo:{KINDS[0]}", 0, -1) == [str(alive)]
    assert redis().zcard(f"weelo:presence:geo:{KINDS[1]}") == redis().hlen("weelo:presence:at") - 1 == 0


def test_a_truck_under_way_leaves_the_index_of_its_kind_and_the_others_stay() -> None:
    transporter_id = comes(random.Random(3), list(KINDS[:2]), CENTRES[0])
    presence.online(transporter_id, [KINDS[1]], stamp=2.0)
    assert presence.search([KINDS[0]], CENTRES[0], Reach.within(10)).near == {}
    assert transporter_id in presence.search([KINDS[1]], CENTRES[0], Reach.within(10)).near


def test_of_two_writes_about_one_fleet_the_one_that_read_later_wins() -> None:
    transporter_id = comes(random.Random(4), [KINDS[0]], CENTRES[0])
    presence.offline(transporter_id, stamp=3.0)
    assert presence.online(transporter_id, [KINDS[0]], stamp=2.0) is False
    assert presence.search([KINDS[0]], CENTRES[0], Reach.within(10)).near == {}
    assert presence.online(transporter_id, [KINDS[0]], stamp=4.0) is True


def test_toggling_while_searches_run_never_hides_who_is_online_throughout() -> None:
    dice = random.Random(5)
    steady, toggled = comes(dice, [KINDS[0]], CENTRES[0]), comes(dice, [KINDS[0]], CENTRES[0])
    stop, seen = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            seen.append(set(presence.search([KINDS[0]], CENTRES[0], Reach.within(10)).near))

    searches = threading.Thread(target=search)
    searches.start()
    for turn in range(100):
        presence.offline(toggled, stamp=2.0 + turn)
        assert toggled not in presence.search([KINDS[0]], CENTRES[0], Reach.within(10)).near
        presence.online(toggled, [KINDS[0]], stamp=2.5 + turn)
        presence.heartbeat(toggled, CENTRES[0], any_distance=True)
        assert toggled in presence.search([KINDS[0]], CENTRES[0], Reach.within(10)).near
    stop.set()
    searches.join(timeout=10)
    assert len(seen) > 10
    assert all(steady in found and found <= {steady, toggled} for found in seen)


def test_an_open_broadcast_that_was_never_removed_is_evicted_after_its_deadline() -> None:
    over, open_yet = uuid4(), uuid4()
    for broadcast in (over, open_yet):
        presence.index_broadcast(broadcast, 1.0, KINDS, CENTRES[0], 10, seconds_left=60)
    redis().hset(f"weelo:open:about:{over}", "ends", 0)
    redis().zadd("weelo:open:ends", {f"{kind} {over}": 0 for kind in KINDS})
    assert presence.evict_closed(at_most=100) == len(KINDS)
    for kind in KINDS:
        assert redis().zrange(f"weelo:open:geo:{kind}", 0, -1) == [str(open_yet)]
    assert redis().zcard("weelo:open:ends") == len(KINDS)


def test_searches_of_an_emptied_redis_are_marked_as_partial() -> None:
    assert not presence.search(KINDS, CENTRES[0], Reach.everyone()).partial
    redis().flushdb()
    assert presence.search(KINDS, CENTRES[0], Reach.everyone()).partial
    comes(random.Random(6), [KINDS[0]], CENTRES[0])
    assert presence.search(KINDS, CENTRES[0], Reach.everyone()).partial


@pytest.mark.parametrize("centre", CENTRES[:3], ids=str)
@pytest.mark.parametrize("max_km", [None, 120.0], ids=["no limit", "within 120 km"])
def test_the_nearest_are_those_that_a_full_scan_finds(centre: Point, max_km: float | None) -> None:
    dice = random.Random(f"nearest {centre}")
    fleets: dict[UUID, tuple[list[str], Point | None]] = {}
    for _ in range(120):
        kinds, where = dice.sample(KINDS, dice.randint(1, 2)), where_people_live(dice, centre)
        fleets[comes(dice, kinds, where)] = (kinds, where)
    for _ in range(5):
        unplaced = UUID(int=dice.getrandbits(128), version=4)
        presence.online(unplaced, [KINDS[0]], stamp=1.0)
        fleets[unplaced] = ([KINDS[0]], None)
    for _ in range(60):
        kinds, pickup = dice.sample(KINDS, dice.randint(1, 2)), where_people_live(dice, centre)
        wanted = dice.choice((1, 7, 40, 500))
        fitting = {
            transporter_id: None if where is None else pickup.km_to(where)
            for transporter_id, (kinds_of_fleet, where) in fleets.items()
            if set(kinds_of_fleet) & set(kinds)
        }
        if max_km is not None:
            fitting = {
                transporter_id: km
                for transporter_id, km in fitting.items()
                if km is not None and km <= max_km
            }
        found = presence.nearest(kinds, pickup, wanted, _reach(max_km))
        assert len(found.near) >= min(wanted, len(fitting))
        assert found.near.items() <= fitting.items()
        left_out = [km for transporter_id, km in fitting.items() if transporter_id not in found.near]
        assert bool(left_out) <= found.more
        if left_out:
            farthest = max(km for km in found.near.values() if km is not None)
            assert all(km is None or km > farthest for km in left_out)


def test_who_is_online_within_a_radius_does_not_depend_on_free_trucks() -> None:
    dice = random.Random(6)
    here = comes(dice, [KINDS[0]], CENTRES[0])
    busy, far, stale, absent = (comes(dice, [KINDS[0]], CENTRES[0]) for _ in range(4))
    presence.online(busy, [], stamp=2.0)
    presence.heartbeat(far, Point(19.07, 72.88), any_distance=True)
    redis().zincrby("weelo:presence:seen", -TTL - 1, str(stale))
    presence.offline(absent, stamp=2.0)
    everyone = [here, busy, far, stale, absent]
    assert presence.online_within(everyone, CENTRES[0], Reach.within(10)).keys() == {here, busy}
    assert presence.online_within(everyone, CENTRES[0], Reach.everyone()).keys() == {here, busy, far}
    assert presence.online_within([], CENTRES[0], Reach.everyone()) == {}


def test_heartbeats_of_many_are_stored_like_those_of_one() -> None:
    dice = random.Random(7)
    known, moved = (comes(dice, [KINDS[0]], CENTRES[0]) for _ in range(2))
    here = Point(CENTRES[0].latitude + 0.01, CENTRES[0].longitude)
    far = Point(CENTRES[0].latitude + 2, CENTRES[0].longitude)
    unknown = uuid4()
    redis().delete(f"weelo:open:moved:{moved}")
    found = presence.heartbeats({known: here, moved: far, unknown: here})
    assert found == {known: [], moved: presence.Absent.MOVED, unknown: presence.Absent.UNKNOWN}
    assert presence.position(known) == here
    assert presence.position(moved) == CENTRES[0]
