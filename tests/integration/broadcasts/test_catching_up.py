"""Who comes online, comes near or has a truck free again hears of what is open, once."""

from __future__ import annotations

from uuid import UUID

from tests.world import Fleet, World
from weelo_workers.redis_client import redis


def offers_heard(world: World, fleet: Fleet) -> list[str]:
    world.drain()
    return [frame["broadcastId"] for frame in world.heard(fleet.id, "new_broadcast")]


def some_seconds_later() -> None:
    """Heartbeats are asked again whether they have missed something."""
    for key in redis().scan_iter("weelo:open:asked:*"):
        redis().delete(key)


def test_PRES_01_going_online_within_a_ring_brings_the_open_offers_once(world: World) -> None:
    world.fleet(km_north=1)
    late = world.fleet(km_north=5, online=False)
    broadcast = world.broadcast(1)
    world.go(late, online=True)
    assert offers_heard(world, late) == []  # it is not known yet where they are
    world.heartbeat(late, 5)
    assert offers_heard(world, late) == [str(broadcast)]
    offer = world.heard(late.id, "new_broadcast")[0]
    assert (offer["radiusStep"], 4.9 < offer["pickupDistanceKm"] < 5.1) == (1, True)
    for _ in range(3):
        some_seconds_later()
        world.heartbeat(late, 5)
        world.go(late, online=False)
        world.go(late, online=True)
    assert offers_heard(world, late) == [str(broadcast)]
    assert world.accept(late, broadcast).result["isFullyFilled"]


def test_once_everyone_was_asked_coming_online_is_enough(world: World) -> None:
    late = world.fleet(online=False)
    broadcast = world.broadcast(1)
    world.go(late, online=True)
    assert offers_heard(world, late) == [str(broadcast)]


def test_driving_into_a_ring_brings_the_offer_and_staying_out_does_not(world: World) -> None:
    world.fleet(km_north=1)
    driving, away = world.fleet(km_north=30), world.fleet(km_north=30)
    broadcast = world.broadcast(1)
    world.heartbeat(driving, 12)
    assert offers_heard(world, driving) == []
    world.heartbeat(driving, 9)
    assert offers_heard(world, driving) == [str(broadcast)]
    world.heartbeat(away, 11)
    assert offers_heard(world, away) == []


def test_what_was_declined_won_or_over_is_not_brought_again(world: World) -> None:
    near, fleet = world.fleet(km_north=1), world.fleet(km_north=2)
    declined, over = world.broadcast(1), world.broadcast(1)
    world.decline(fleet, declined)
    world.cancel(over)
    before = offers_heard(world, fleet)
    world.go(fleet, online=False)
    world.go(fleet, online=True)
    world.heartbeat(fleet, 2)
    assert offers_heard(world, fleet) == before
    assert world.accept(near, declined).status == "succeeded"


def test_a_truck_that_is_free_again_hears_of_what_came_meanwhile(world: World) -> None:
    fleet, other = world.fleet(km_north=1), world.fleet(km_north=2)
    first = world.broadcast(1)
    world.accept(fleet, first)
    world.drivers_accept(first)
    world.drain()
    second = world.broadcast(1)
    assert str(second) not in offers_heard(world, fleet)
    assert str(second) in offers_heard(world, other)
    world.report(world.assignments(first)[0], "completed")
    assert str(second) in offers_heard(world, fleet)


def test_a_late_offer_is_a_transition_of_its_own(world: World) -> None:
    world.fleet(km_north=1)
    late = world.fleet(km_north=5, online=False)
    broadcast = world.broadcast(1)
    customer = world.customer_of(broadcast)
    world.go(late, online=True)
    world.heartbeat(late, 5)
    world.drain()
    frame = world.heard(customer, "broadcast_state_changed")[-1]
    assert (frame["status"], frame["transportersNotified"]) == ("active", 2)
    history = world.rows("SELECT name, details FROM transitions WHERE subject = 'broadcast' ORDER BY id")[-1]
    assert (history.name, history.details["late"], history.details["told"]) == ("widen_unfilled", True, 1)


def test_somebody_brought_in_late_gets_the_withdrawal_too(world: World) -> None:
    world.fleet(km_north=1)
    late = world.fleet(km_north=5, online=False)
    broadcast = world.broadcast(1)
    world.go(late, online=True)
    world.heartbeat(late, 5)
    world.drain()
    world.cancel(broadcast)
    world.drain()
    assert len(world.heard(late.id, "booking_cancelled")) == 1


def test_slots_that_come_back_from_a_hold_reach_who_came_near_meanwhile(world: World) -> None:
    holder, driving = world.fleet(km_north=1), world.fleet(km_north=30)
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    world.heartbeat(driving, 5)
    assert offers_heard(world, driving) == []
    world.drop(holder, UUID(hold))
    some_seconds_later()
    world.heartbeat(driving, 5)
    assert offers_heard(world, driving) == [str(broadcast)]


def test_CNCL_05_nothing_of_a_broadcast_is_left_in_redis_but_what_expires(world: World) -> None:
    world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    left = [key for key in redis().keys("weelo:open:*") if redis().ttl(key) < 0]
    assert left == ["weelo:open:reach"]
