"""How a step chooses fleets if it does not offer to all: by soft cap, distance, preference, and time of the last offer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import Fleet, World
from weelo_workers.lifecycles import offer_order
from weelo_workers.models.engine import engine
from weelo_workers.queries.offer_explanation import explain

PER_STEP = 4
Record = Callable[[str, object], None]


def prefer(world: World, customer: UUID, fleet: Fleet) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO relations (customer_id, transporter_id, preferred_at) VALUES (%s, %s, now())",
            (customer, fleet.id),
        )


def fleet_without_offers(world: World, km_north: float) -> Fleet:
    """Return a fleet that is online and below the soft cap. Offers that it got for missed requests are deleted."""
    fleet = world.fleet(km_north=km_north)
    world.drain()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM offers WHERE transporter_id = %s", (fleet.id,))
    return fleet


def reason(broadcast: UUID, fleet: Fleet) -> tuple[str | None, str]:
    with Session(engine()) as session:
        found = explain(session, broadcast, fleet.id, None)
    assert found is not None
    return found.reason, found.answer


def test_within_a_kilometre_the_preferred_and_then_the_less_recently_offered_come_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    near, far, other_band = (world.fleet(km_north=km) for km in (2.1, 2.8, 3.2))
    customer = uuid4()
    assert set(world.told_at(first := world.broadcast(1))) == {near.id}
    assert reason(first, far)[0] == "next_step"
    assert set(world.told_at(world.broadcast(1))) == {far.id}
    assert set(world.told_at(world.broadcast(1))) == {near.id}
    prefer(world, customer, near)
    prefer(world, customer, other_band)
    assert set(world.told_at(world.broadcast(1, customer=customer))) == {near.id}


def test_fleets_below_the_soft_cap_come_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, soft_open_offers=1)
    busy = world.fleet(km_north=1)
    assert set(world.told_at(world.broadcast(1))) == {busy.id}
    free = fleet_without_offers(world, km_north=5)
    broadcast = world.broadcast(1)
    assert set(world.told_at(broadcast)) == {free.id}
    code, answer = reason(broadcast, busy)
    assert code == "soft_cap"
    assert answer == (
        "not offered: those with fewer open offers came first, and their turn has not come yet (step 1)"
    )
    # The busy fleet does not get the offer before the next step, neither by heartbeats nor by going offline and online.
    world.heartbeat(busy, 1)
    world.set_availability(busy, online=False)
    world.set_availability(busy, online=True)
    world.heartbeat(busy, 1)
    world.drain()
    world.tick(2)
    assert set(world.told_at(broadcast)) == {free.id}
    # The next ring has no other fleet, so the busy fleet gets the offer although it is at the soft cap.
    world.tick(13)
    assert world.told_at(broadcast)[busy.id] == 2


def test_a_thin_ring_is_filled_up_with_fleets_at_the_soft_cap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, soft_open_offers=1, min_offers_per_step=2)
    busy = [world.fleet(km_north=km) for km in (1, 2, 3)]
    world.broadcast(1)
    free = fleet_without_offers(world, km_north=5)
    broadcast = world.broadcast(1)
    assert set(world.told_at(broadcast)) == {free.id, busy[0].id}
    assert {reason(broadcast, each)[0] for each in busy[1:]} == {"soft_cap"}


def test_every_fleet_at_the_soft_cap_gets_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, soft_open_offers=1)
    fleets = [world.fleet(km_north=km) for km in (1, 2, 3)]
    world.broadcast(1)
    broadcast = world.broadcast(1)
    for offered in (1, 2, 3):
        assert len(world.told_at(broadcast)) == offered
        world.tick(15)
    assert set(world.told_at(broadcast)) == {fleet.id for fleet in fleets}


def gini(numbers: Sequence[int]) -> float:
    """Return the Gini coefficient: 0 if all numbers are equal, almost 1 if one has everything."""
    ordered = sorted(numbers)
    weighted = sum(place * number for place, number in enumerate(ordered, 1))
    return 2 * weighted / (len(ordered) * sum(ordered)) - (len(ordered) + 1) / len(ordered)


def test_gini() -> None:
    assert gini([3, 3, 3]) == pytest.approx(0)
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)


def play(
    world: World, fleets: Sequence[Fleet], requests: int, on_the_road: int, rests: int
) -> tuple[float, float]:
    """Create requests at one place, one after another. Return the Gini coefficient of the offers, and the fill rate.

    A fleet that gets an offer accepts it with a probability of 0.3. If the fleet does not accept, it answers none of the
    next `rests` requests. If it wins, its truck is free again when `on_the_road` further requests have been filled.
    """
    with world.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM broadcasts")
    dice = Random(1)
    offers: Counter[UUID] = Counter({fleet.id: 0 for fleet in fleets})
    awake_from: Counter[UUID] = Counter()
    filled: list[UUID] = []
    for number in range(requests):
        broadcast = UUID(world.book(uuid4()).result["id"])
        told = world.told_at(broadcast)
        offers.update(told.keys())
        willing: list[Fleet] = []
        for fleet in fleets:
            if fleet.id in told and awake_from[fleet.id] <= number:
                if dice.random() < 0.3:
                    willing.append(fleet)
                else:
                    awake_from[fleet.id] = number + 1 + rests
        if willing:
            assert world.accept(willing[0], broadcast).status == "succeeded"
            filled.append(broadcast)
        else:
            end(world, broadcast)
        if len(filled) > on_the_road:
            end(world, filled[-on_the_road - 1])
    return gini(list(offers.values())), len(filled) / requests


def end(world: World, broadcast: UUID) -> None:
    """End the broadcast and free its truck by SQL. Unsettled commands are deleted and not executed."""
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE assignments SET status = 'completed' WHERE broadcast_id = %s", (broadcast,)
        )
        connection.exec_driver_sql("UPDATE broadcasts SET status = 'expired' WHERE id = %s", (broadcast,))
        connection.exec_driver_sql("DELETE FROM mailbox WHERE settled_at IS NULL")


def compare(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    record: Record,
    *,
    fleets: int,
    requests: int,
    on_the_road: int,
    rests: int,
) -> None:
    # Each fleet sends only one heartbeat, so presence must not expire before the test ends.
    with_settings(monkeypatch, max_offers_per_step=PER_STEP, presence_ttl_seconds=3_600)
    # A step sorts fleets by bands of 1 km, and within a band by their last offer. All these fleets are in one band.
    equal = [world.fleet(km_north=1.05 + 0.8 * n / fleets) for n in range(fleets)]
    world.drain()
    inequality, fill_rate = play(world, equal, requests, on_the_road, rests)
    # With bands of a millimetre no two fleets share a band, so fleets are sorted by distance alone.
    monkeypatch.setattr(offer_order, "BAND_KM", 1e-6)
    inequality_without, fill_rate_without = play(world, equal, requests, on_the_road, rests)
    record("Gini of offers, and by distance only", (inequality, inequality_without))
    record("fill rate, and by distance only", (fill_rate, fill_rate_without))
    assert inequality < 0.2
    assert inequality_without > 0.4
    assert fill_rate > 0.5
    assert fill_rate >= fill_rate_without
    assert fill_rate_without < 0.6, (
        "by distance only, the same fleets get each request, and many of them rest"
    )


def test_equal_fleets_get_equally_many_offers(
    world: World, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    compare(world, monkeypatch, record_property, fleets=10, requests=12, on_the_road=2, rests=2)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_hundred_equal_fleets_get_equally_many_of_a_thousand_requests(
    world: World, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    compare(world, monkeypatch, record_property, fleets=100, requests=1_000, on_the_road=10, rests=10)
