"""Late offers follow the policy with which the broadcast began: its cap and its radii, not those of the environment.

A fleet gets late offers when it comes online, comes near, or has room again. Each test has values in the environment
that would decide the other way.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import DELHI, Fleet, World, place
from weelo_workers.contracts.broadcasts import OfferLate
from weelo_workers.contracts.policies import Area, Center, PutPolicy
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import engine
from weelo_workers.queries.offer_explanation import explain


def put(world: World, scope: str, *, km_north: float = 0.0, radius_km: float = 2.0, **settings: Any) -> None:
    """Store a policy. Its area is a circle around a place north of the default place. `settings`: in camel case."""
    center = place(km_north)
    area = Area(center=Center(latitude=center.latitude, longitude=DELHI[1]), radius_km=radius_km)
    command = PutPolicy(scope=scope, area=area, settings=settings, reason="a test of late offers")
    assert world.execute(command, uuid4(), Role.ADMIN).status == "succeeded"


def offered(world: World, fleet: Fleet) -> set[UUID]:
    world.drain()
    rows = world.rows("SELECT broadcast_id FROM offers WHERE transporter_id = :id", id=fleet.id)
    return {row.broadcast_id for row in rows}


def comes_online(world: World, fleet: Fleet, km_north: float) -> None:
    world.set_availability(fleet, online=True)
    world.heartbeat(fleet, km_north)
    world.drain()
    world.tick(2)  # CatchUp is executed a second time after 2 s


def reason(broadcast: UUID, fleet: Fleet) -> str | None:
    with Session(engine()) as session:
        found = explain(session, broadcast, fleet.id, None)
    assert found is not None
    return found.reason


@pytest.mark.parametrize(("own_cap", "cap_of_environment"), [(1, 20), (3, 1)])
def test_POLI_01_coming_online_fills_the_list_up_to_the_broadcasts_own_cap(
    world: World, monkeypatch: pytest.MonkeyPatch, own_cap: int, cap_of_environment: int
) -> None:
    put(world, "here", maxOpenOffers=own_cap)
    fleet = world.fleet(online=False)
    broadcasts = [world.broadcast(1) for _ in range(4)]
    with_settings(monkeypatch, max_open_offers=cap_of_environment)
    comes_online(world, fleet, 1)
    assert len(offered(world, fleet)) == own_cap
    left_out = set(broadcasts) - offered(world, fleet)
    assert {reason(each, fleet) for each in left_out} == {"too_many_offers"}
    # The fleet declines one offer, so it has room for one more and gets it.
    world.decline(fleet, offered(world, fleet).pop())
    assert len(offered(world, fleet)) == own_cap + 1


@pytest.mark.parametrize(
    ("own_radii", "radii_of_environment", "reaches"),
    [([2, 60], (10.0, 60.0), False), ([30, 60], (10.0, 60.0), True)],
)
@pytest.mark.parametrize("way", ["comes online", "comes near"])
def test_POLI_01_a_late_offer_reaches_as_far_as_the_broadcasts_own_ring(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    own_radii: list[float],
    radii_of_environment: tuple[float, ...],
    reaches: bool,
    way: str,
) -> None:
    put(world, "here", radiusStepsKm=own_radii, minOffersPerStep=0)
    fleet = world.fleet(km_north=100, online=way == "comes near")
    broadcast = world.broadcast(1)
    with_settings(monkeypatch, radius_steps_km=radii_of_environment)
    km = 20 if reaches else 5  # inside the first ring of one policy, and outside that of the other
    if way == "comes online":
        comes_online(world, fleet, km)
    else:
        world.heartbeat(fleet, km)
        # The command may have been sent by mistake or for an older position. It checks the same ring as the heartbeat.
        world.fire(OfferLate(broadcast_id=broadcast, transporter_id=fleet.id))
    assert (broadcast in offered(world, fleet)) is reaches


def test_POLI_01_of_two_policies_each_broadcast_keeps_its_own_cap_when_a_fleet_comes_online(
    world: World,
) -> None:
    put(world, "narrow", maxOpenOffers=1)
    put(world, "wide", km_north=8, maxOpenOffers=3)
    fleet = world.fleet(online=False)
    narrow = [world.broadcast(1) for _ in range(2)]
    wide = [world.broadcast(1, at=place(8)) for _ in range(4)]
    comes_online(world, fleet, 1)
    got = offered(world, fleet)
    assert (len(got & set(narrow)), len(got & set(wide))) == (1, 2)


def test_a_full_list_by_a_small_cap_leaves_heartbeats_to_policies_with_a_larger_cap(world: World) -> None:
    put(world, "narrow", maxOpenOffers=1, minOffersPerStep=0)
    put(world, "wide", km_north=6.5, maxOpenOffers=5, radiusStepsKm=[5, 60], minOffersPerStep=0)
    fleet = world.fleet(km_north=1)
    first, second = world.broadcast(1), world.broadcast(1)
    wide = world.broadcast(1, at=place(6.5))
    assert offered(world, fleet) == {first}
    # This late offer is refused: the fleet has one open offer, which is the cap of the policy `narrow`.
    world.fire(OfferLate(broadcast_id=second, transporter_id=fleet.id))
    world.heartbeat(fleet, 1.6)
    assert offered(world, fleet) == {first, wide}


def test_declining_under_a_large_cap_makes_room_under_a_small_one(world: World) -> None:
    put(world, "narrow", maxOpenOffers=1)
    put(world, "wide", km_north=3, radius_km=0.5, maxOpenOffers=20)
    fleet = world.fleet(km_north=3)
    wide = world.broadcast(1, at=place(3))
    narrow = world.broadcast(1)
    assert offered(world, fleet) == {wide}
    assert reason(narrow, fleet) == "too_many_offers"
    world.decline(fleet, wide)
    assert offered(world, fleet) == {wide, narrow}
