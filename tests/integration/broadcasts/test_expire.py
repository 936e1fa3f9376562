"""What happens at a broadcast's deadline."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.world import World
from weelo_workers.contracts.broadcasts import ExpireBroadcast
from weelo_workers.contracts.statuses import Role


def test_TMOT_02_the_customer_hears_that_nobody_was_online(world: World) -> None:
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    world.tick(121)
    assert world.status(broadcast) == "expired"
    assert [f["reason"] for f in world.events_of(customer, "booking_expired")] == ["no_transporter_online"]
    assert [(f["reason"], f["retryable"]) for f in world.events_of(customer, "no_vehicles_available")] == [
        ("no_transporter_online", True)
    ]


def test_TMOT_02_the_customer_hears_that_nobody_accepted(world: World) -> None:
    world.fleet()
    customer = uuid4()
    world.broadcast(1, customer=customer)
    world.tick(121)
    assert [f["reason"] for f in world.events_of(customer, "no_vehicles_available")] == ["nobody_accepted"]


def test_TMOT_03_BCAST_05_every_notified_transporter_gets_one_withdrawal_and_the_offer_leaves_the_list(
    world: World,
) -> None:
    fleets = [world.fleet(km_north=km) for km in (1, 20)]
    world.broadcast(1)
    world.tick(15)
    world.tick(120)
    for fleet in fleets:
        assert len(world.events_of(fleet.id, "new_broadcast")) == 1
        assert len(world.events_of(fleet.id, "booking_expired")) == 1


def test_TMOT_02_04_expiry_says_partly_filled_and_touches_no_truck_that_was_won(world: World) -> None:
    fleet = world.fleet()
    customer = uuid4()
    broadcast = world.broadcast(3, customer=customer)
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    world.tick(121)
    assert world.status(broadcast) == "expired"
    assert world.live_assignments(broadcast) == 1
    slots = world.rows(
        "SELECT status FROM truck_requests WHERE broadcast_id = :id ORDER BY request_number", id=broadcast
    )
    assert [slot.status for slot in slots] == ["accepted", "expired", "expired"]
    assert [f["reason"] for f in world.events_of(customer, "booking_expired")] == ["partly_filled"]
    assert world.events_of(customer, "no_vehicles_available") == []
    assert world.events_of(fleet.id, "booking_expired")[0]["assignedToYou"] == 1


@pytest.mark.parametrize("end", ["cancel", "fill", "expire"])
def test_TIMR_03_an_expiry_after_the_end_does_no_harm(world: World, end: str) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    match end:
        case "cancel":
            world.cancel(broadcast)
        case "fill":
            world.accept(fleet, broadcast)
            world.drivers_accept(broadcast)
        case "expire":
            world.tick(121)
    status = world.status(broadcast)
    world.tick(121)
    for _ in range(2):
        world.execute(ExpireBroadcast(broadcast_id=broadcast), uuid4(), Role.ADMIN)
    assert world.status(broadcast) == status


def test_TIMR_03_an_expiry_that_comes_early_waits_for_the_deadline(world: World) -> None:
    broadcast = world.broadcast(1)
    world.execute(ExpireBroadcast(broadcast_id=broadcast), uuid4(), Role.ADMIN)
    assert world.status(broadcast) == "active"
    world.tick(121)
    assert world.status(broadcast) == "expired"


def test_TIMR_02_a_deadline_that_moved_is_kept_though_the_request_was_full_when_the_first_one_came(
    world: World,
) -> None:
    first, second = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    world.tick(100)
    world.accept(first, broadcast)
    world.answer(world.assignments(broadcast)[-1], yes=False)
    world.tick(5)
    world.accept(second, broadcast)
    world.tick(20)
    assert world.status(broadcast) == "fully_filled"
    world.answer(world.assignments(broadcast)[-1], yes=False)
    world.drain()
    assert world.status(broadcast) == "active"
    world.tick(61)
    assert world.status(broadcast) == "expired"


def test_an_expiry_of_nothing_does_nothing(world: World) -> None:
    assert world.execute(ExpireBroadcast(broadcast_id=uuid4()), uuid4(), Role.ADMIN).status == "succeeded"
