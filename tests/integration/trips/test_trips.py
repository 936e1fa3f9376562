"""Trips, from the driver's acceptance to the completion."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.world import World
from weelo_workers.lifecycles.assignment import STEPS


@pytest.mark.parametrize(
    "steps",
    [[str(s) for s in STEPS], ["at_pickup", "loading_complete", "in_transit", "completed"], ["completed"]],
)
def test_a_trip_goes_forward_in_steps_or_jumps_and_completes_the_broadcast(
    world: World, steps: list[str]
) -> None:
    customer = uuid4()
    broadcast = world.on_the_way(customer=customer)
    assignment = world.assignments(broadcast)[0]
    for step in steps:
        assert world.report(assignment, step).result["status"] == step
    world.drain()
    assert (world.status(broadcast), world.slots(broadcast)) == ("completed", ["completed"])
    states = [f["status"] for f in world.events_of(customer, "broadcast_state_changed")]
    assert states[-3:] == ["fully_filled", "in_progress", "completed"]
    assert len(world.events_of(customer, "booking_completed")) == 1
    assert len(world.events_of(assignment.transporter_id, "booking_completed")) == 1


@pytest.mark.parametrize("at", range(len(STEPS)))
def test_backward_is_refused_and_the_same_again_is_fine(world: World, at: int) -> None:
    assignment = world.assignments(world.on_the_way())[0]
    world.report(assignment, STEPS[at])
    assert world.report(assignment, STEPS[at]).replayed
    for earlier in STEPS[:at]:
        assert world.report(assignment, earlier).error["code"] == "INVALID_TRANSITION"


def test_before_the_drivers_yes_there_is_no_trip(world: World) -> None:
    broadcast, _ = world.won()
    assert world.report(world.assignments(broadcast)[0], "at_pickup").error["code"] == "INVALID_TRANSITION"


def test_CNCL_01_a_broadcast_in_progress_cannot_be_cancelled(world: World) -> None:
    broadcast = world.on_the_way(trucks=2)
    world.report(world.assignments(broadcast)[0], "en_route_pickup")
    assert world.status(broadcast) == "in_progress"
    assert world.cancel(broadcast).error["code"] == "BOOKING_CANNOT_CANCEL"
    assert world.live_assignments(broadcast) == 2


def test_the_last_of_several_trucks_completes_it_and_drivers_and_vehicles_are_free(world: World) -> None:
    broadcast = world.on_the_way(trucks=2)
    first, second = world.assignments(broadcast)
    world.report(first, "completed")
    assert world.status(broadcast) == "in_progress"
    world.report(second, "completed")
    assert (world.status(broadcast), world.live_assignments(broadcast)) == ("completed", 0)
    again = world.broadcast(2)
    assert world.value("SELECT count(*) FROM offers WHERE broadcast_id = :id", id=again) == 2


def test_while_slots_are_open_a_truck_under_way_does_not_close_them(world: World) -> None:
    early, late = world.fleet(), world.fleet()
    broadcast = world.broadcast(2)
    world.accept(early, broadcast)
    world.drivers_accept(broadcast)
    world.report(world.assignments(broadcast)[0], "at_pickup")
    assert world.status(broadcast) == "partially_filled"
    assert world.cancel(broadcast).error["code"] == "BOOKING_CANNOT_CANCEL"
    assert world.accept(late, broadcast).result["isFullyFilled"]
    assert world.status(broadcast) == "in_progress"


def test_a_driver_who_refuses_while_another_drives_brings_the_slot_back(world: World) -> None:
    fleets = [world.fleet(), world.fleet()]
    broadcast = world.broadcast(2)
    for fleet in fleets:
        world.accept(fleet, broadcast)
    first, second = world.assignments(broadcast)
    world.answer(first, yes=True)
    world.report(first, "in_transit")
    assert world.status(broadcast) == "in_progress"
    world.answer(second, yes=False)
    assert world.status(broadcast) == "partially_filled"
    world.tick(121)
    assert (world.status(broadcast), world.live_assignments(broadcast)) == ("expired", 1)


def test_TMOT_04_after_a_partly_filled_expiry_the_customer_goes_on_with_the_trucks_that_were_won(
    world: World,
) -> None:
    customer = uuid4()
    broadcast, _ = world.won(trucks=3, customer=customer)
    world.drivers_accept(broadcast)
    world.tick(121)
    assert world.status(broadcast) == "expired"
    for _ in range(2):
        result = world.continue_partial(broadcast, customer).result
        assert (result["status"], result["trucksNeeded"], result["trucksFilled"]) == ("fully_filled", 1, 1)
    world.report(world.assignments(broadcast)[0], "completed")
    assert world.status(broadcast) == "completed"


def test_with_nothing_won_there_is_nothing_to_go_on_with(world: World) -> None:
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    assert world.continue_partial(broadcast, customer).error["code"] == "INVALID_TRANSITION"
    world.tick(121)
    assert world.continue_partial(broadcast, customer).error["code"] == "INVALID_TRANSITION"
    assert world.continue_partial(broadcast, uuid4()).error["code"] == "BOOKING_NOT_FOUND"
