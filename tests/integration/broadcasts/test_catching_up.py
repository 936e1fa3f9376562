"""A transporter who comes online, comes near or has a free truck again is offered each missed open request once."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.support.changed_settings import with_settings
from tests.support.world import DELHI, Fleet, World, place
from weelo_workers import presence
from weelo_workers.contracts.fleet import SetAvailability
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.redis_client import redis


def offers_heard(world: World, fleet: Fleet) -> list[str]:
    world.drain()
    return [frame["broadcastId"] for frame in world.events_of(fleet.id, "new_broadcast")]


def some_seconds_later() -> None:
    """Delete all snoozes, as if their time had passed."""
    for key in redis().scan_iter("weelo:open:asked:*"):
        redis().delete(key)


def test_PRES_01_going_online_within_a_ring_brings_the_open_offers_once(world: World) -> None:
    world.fleet(km_north=1)
    late = world.fleet(km_north=5, online=False)
    broadcast = world.broadcast(1)
    world.set_availability(late, online=True)
    assert offers_heard(world, late) == []  # the transporter's position is not known yet
    world.heartbeat(late, 5)
    assert offers_heard(world, late) == [str(broadcast)]
    offer = world.events_of(late.id, "new_broadcast")[0]
    assert (offer["radiusStep"], 4.9 < offer["pickupDistanceKm"] < 5.1) == (1, True)
    for _ in range(3):
        some_seconds_later()
        world.heartbeat(late, 5)
        world.set_availability(late, online=False)
        world.set_availability(late, online=True)
    assert offers_heard(world, late) == [str(broadcast)]
    assert world.accept(late, broadcast).result["isFullyFilled"]


def test_once_everyone_was_asked_coming_online_is_enough(world: World) -> None:
    late = world.fleet(online=False)
    broadcast = world.broadcast(1)
    world.set_availability(late, online=True)
    assert offers_heard(world, late) == [str(broadcast)]


def test_driving_into_a_ring_brings_the_offer_and_staying_out_does_not(world: World) -> None:
    world.fleet(km_north=1)
    driving, staying = world.fleet(km_north=30), world.fleet(km_north=30)
    broadcast = world.broadcast(1)
    world.heartbeat(driving, 12)
    assert offers_heard(world, driving) == []
    world.heartbeat(driving, 9)
    assert offers_heard(world, driving) == [str(broadcast)]
    world.heartbeat(staying, 11)
    assert offers_heard(world, staying) == []


def test_what_was_declined_won_or_over_is_not_brought_again(world: World) -> None:
    near, fleet = world.fleet(km_north=1), world.fleet(km_north=2)
    declined, over = world.broadcast(1), world.broadcast(1)
    world.decline(fleet, declined)
    world.cancel(over)
    before = offers_heard(world, fleet)
    world.set_availability(fleet, online=False)
    world.set_availability(fleet, online=True)
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
    world.set_availability(late, online=True)
    world.heartbeat(late, 5)
    world.drain()
    frame = world.events_of(customer, "broadcast_state_changed")[-1]
    assert (frame["status"], frame["transportersNotified"]) == ("active", 2)
    history = world.rows("SELECT name, details FROM transitions WHERE subject = 'broadcast' ORDER BY id")[-1]
    assert (history.name, history.details["late"], history.details["told"]) == ("widen_unfilled", True, 1)


def test_somebody_brought_in_late_gets_the_withdrawal_too(world: World) -> None:
    world.fleet(km_north=1)
    late = world.fleet(km_north=5, online=False)
    broadcast = world.broadcast(1)
    world.set_availability(late, online=True)
    world.heartbeat(late, 5)
    world.drain()
    world.cancel(broadcast)
    world.drain()
    assert len(world.events_of(late.id, "booking_cancelled")) == 1


def test_slots_that_come_back_from_a_hold_reach_who_came_near_meanwhile(world: World) -> None:
    holder, driving = world.fleet(km_north=1), world.fleet(km_north=30)
    broadcast = world.broadcast(1)
    hold = world.hold(holder, broadcast).result["holdId"]
    world.heartbeat(driving, 5)
    assert offers_heard(world, driving) == []
    world.release_hold(holder, UUID(hold))
    some_seconds_later()
    world.heartbeat(driving, 5)
    assert offers_heard(world, driving) == [str(broadcast)]


def test_CNCL_05_nothing_of_a_broadcast_is_left_in_redis_but_what_expires(world: World) -> None:
    world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    left = [key for key in redis().keys("weelo:open:*") if redis().ttl(key) < 0]
    assert left == ["weelo:open:reach"]


def test_PRES_01_going_online_brings_what_was_missed_even_if_a_heartbeat_came_first(world: World) -> None:
    """After Redis was emptied, a heartbeat may write the fleet to presence before `fleet.sync_presence` does.

    Even then, the fleet must be offered the requests that it missed.
    """
    world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    for _ in range(4):
        world.tick(15)
    late = world.fleet(online=False)
    redis().flushdb()
    command = SetAvailability(transporter_id=late.id, is_available=True)
    world.execute(command, late.id, Role.TRANSPORTER)
    world.heartbeat(late, 1)
    assert offers_heard(world, late) == [str(broadcast)]


def test_who_waits_for_the_next_step_is_not_brought_in_by_a_heartbeat(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    fleets = [world.fleet(km_north=km) for km in (1, 2, 3)]
    world.drain()
    world.broadcast(1)
    for km, fleet in enumerate(fleets, 1):
        world.heartbeat(fleet, km)
    assert [len(offers_heard(world, fleet)) for fleet in fleets] == [1, 0, 0]
    world.tick(15)
    assert [len(offers_heard(world, fleet)) for fleet in fleets] == [1, 1, 0]


def test_going_offline_and_online_again_does_not_bring_the_offer_before_nearer_transporters_get_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    fleets = [world.fleet(km_north=km) for km in (1, 2, 3)]
    world.broadcast(1)
    farthest = fleets[-1]
    for online in (False, True):
        world.set_availability(farthest, online=online)
    world.heartbeat(farthest, 3)
    world.drain()
    world.tick(3)
    assert [len(offers_heard(world, fleet)) for fleet in fleets] == [1, 0, 0]
    world.tick(15)
    assert [len(offers_heard(world, fleet)) for fleet in fleets] == [1, 1, 0]
    world.tick(15)
    assert [len(offers_heard(world, fleet)) for fleet in fleets] == [1, 1, 1]


def test_heartbeats_do_not_ask_over_and_over_after_what_cannot_be_offered(world: World) -> None:
    fleet = world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    redis().delete(f"weelo:open:told:{broadcast}")
    for _ in range(5):
        some_seconds_later()
        world.heartbeat(fleet, 1)
        world.drain()
    assert world.value("SELECT count(*) FROM mailbox WHERE name = 'broadcasts.offer_late'") == 1


def test_nearer_pickups_that_are_known_hide_none_that_is_not(world: World) -> None:
    world.fleet(km_north=0)
    fleet = world.fleet(km_north=12)
    for _ in range(22):
        world.decline(fleet, world.broadcast(1, at=place(13)))
    far = world.broadcast(1, at=place(0))
    world.heartbeat(fleet, 9.5)
    assert str(far) in offers_heard(world, fleet)


def test_a_timer_does_not_wake_a_silent_phone(world: World) -> None:
    fleet = world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.drain()
    redis().zadd("weelo:presence:seen", {str(fleet.id): 1.0})
    presence.evict_stale(at_most=10)
    world.tick(50)
    here = presence.Point(DELHI[0], DELHI[1])
    assert fleet.id not in presence.search(["open:17ft"], here, Reach.everyone()).near


def test_a_slot_that_comes_back_is_offered_though_others_heard_late_meanwhile(world: World) -> None:
    refuses, knows = world.fleet(km_north=1), world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    world.accept(refuses, broadcast)
    world.drain()
    world.answer(world.assignments(broadcast)[0], yes=False)
    late = world.fleet(km_north=1)
    world.heartbeat(late, 1)
    for row in world.rows(
        "SELECT id FROM mailbox WHERE name = 'broadcasts.offer_late' AND settled_at IS NULL"
    ):
        world.bus.execute(row.id)
    assert len(offers_heard(world, knows)) == 2
    assert len(offers_heard(world, late)) >= 1
