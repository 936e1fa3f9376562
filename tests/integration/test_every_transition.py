"""Scenarios make every transition of the four lifecycles, and the history records each under its name in the lifecycle."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.world import Fleet, World
from weelo_workers.contracts.statuses import AssignmentStatus, EndOutcome, Role
from weelo_workers.lifecycles import assignment, broadcast, hold, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle

LIFECYCLES: dict[str, Lifecycle[Any]] = {
    "broadcast": broadcast.LIFECYCLE,
    "truck_request": truck_request.LIFECYCLE,
    "hold": hold.LIFECYCLE,
    "assignment": assignment.LIFECYCLE,
}

BEFORE_LOADING = ("pending", "driver_accepted", "en_route_pickup", "at_pickup")

# The command that creates a broadcast also enters and leaves `broadcasting`, in one transaction. So other commands find a
# broadcast in `created` or `broadcasting` only if an earlier version has created it.
OUT_OF_REACH = {
    "broadcast: created --cancel--> cancelled",
    "broadcast: created --expire--> expired",
    "broadcast: broadcasting --cancel--> cancelled",
    "broadcast: broadcasting --expire--> expired",
}


def asked(world: World, trucks: int, *, won: int = 0, yes: int = 0) -> tuple[UUID, Fleet]:
    """Create a request. `trucks`: how many it needs. `won`: how many slots one fleet wins. `yes`: how many drivers accept."""
    fleet = world.fleet(trucks)
    request = world.broadcast(trucks)
    if won:
        world.accept(fleet, request, fleet.trucks[:won])
    for truck in world.assignments(request)[:yes]:
        world.answer(truck, yes=True)
    return request, fleet


def refuses(world: World, request: UUID, *, late: bool = False) -> None:
    """Let the driver with the newest assignment decline. `late`: after the deadline, so no other truck is searched for."""
    if late:
        world.shift(121)
    world.answer(world.assignments(request)[-1], yes=False)


def rings_go_round_until_nobody_has_come(world: World) -> None:
    asked(world, 1)
    world.tick(16)
    world.tick(121)


def rings_go_on_for_the_trucks_that_are_missing(world: World) -> None:
    request, _ = asked(world, 2, won=1, yes=1)
    world.tick(16)
    world.tick(121)
    assert world.continue_partial(request, world.customer_of(request)).status == "succeeded"


def a_request_ends_before_anybody_was_told(world: World) -> None:
    customer = uuid4()
    world.cancel(UUID(world.book(customer).result["id"]), customer)
    world.book(customer)
    world.tick(121)


def a_customer_cancels_whatever_has_not_set_out(world: World) -> None:
    for won, yes in ((0, 0), (1, 0), (2, 1)):
        request, _ = asked(world, 2, won=won, yes=yes)
        world.cancel(request)


def trucks_are_won_one_by_one(world: World) -> None:
    request, fleet = asked(world, 3)
    for truck in fleet.trucks:
        world.accept(fleet, request, [truck])


def a_driver_refuses_and_the_slot_comes_back(world: World) -> None:
    for trucks, won in ((1, 1), (2, 1), (2, 2), (3, 2)):
        request, _ = asked(world, trucks, won=won, yes=won - 1)
        refuses(world, request)


def a_driver_refuses_while_another_drives(world: World) -> None:
    for late in (False, True):
        request, _ = asked(world, 2, won=2, yes=1)
        world.report(world.assignments(request)[0], "in_transit")
        refuses(world, request, late=late)


def a_driver_refuses_too_late(world: World) -> None:
    for trucks in (1, 2):
        request, _ = asked(world, trucks, won=trucks, yes=trucks - 1)
        refuses(world, request, late=True)


def a_truck_drives_and_delivers(world: World) -> None:
    request, _ = asked(world, 1, won=1, yes=1)
    for step in assignment.STEPS:
        world.report(world.assignments(request)[0], step)


def trips_jump_from_any_step_to_any_later_one(world: World) -> None:
    jumps = list(combinations((AssignmentStatus.DRIVER_ACCEPTED, *assignment.STEPS), 2))
    request, _ = asked(world, len(jumps), won=len(jumps), yes=len(jumps))
    for trip, (start, end) in zip(world.assignments(request), jumps, strict=True):
        if start in assignment.STEPS:
            world.report(trip, start)
        world.report(trip, end)


def holds_are_dropped_run_out_or_confirmed(world: World) -> None:
    request, fleet = asked(world, 1)
    world.release_hold(fleet, world.hold(fleet, request).result["holdId"])
    world.hold(fleet, request)
    world.tick(91)
    request, fleet = asked(world, 1)
    world.confirm(fleet, world.hold(fleet, request).result["holdId"])


def holds_end_with_what_they_are_on(world: World) -> None:
    cancelled, fleet = asked(world, 1)
    world.hold(fleet, cancelled)
    world.cancel(cancelled)
    expired, fleet = asked(world, 1)
    world.tick(100)
    world.hold(fleet, expired)
    world.tick(21)


def trucks_are_given_back_at_every_step(world: World) -> None:
    for step in BEFORE_LOADING:
        request, _ = asked(world, 2, won=1)
        world.give_back(brought_to(world, request, step), by=Role.TRANSPORTER)


def trucks_are_lost_and_searched_for_again(world: World) -> None:
    """Lose a truck while the request is partly filled, full, in progress and expired, with and without another truck."""
    for others in (0, 1):
        for open_slots, step in ((1, "driver_accepted"), (0, "driver_accepted"), (0, "en_route_pickup")):
            request, _ = asked(world, others + 1 + open_slots, won=others + 1, yes=others + 1)
            assert world.give_back(brought_to(world, request, step)).status == "succeeded"
        request, _ = asked(world, others + 2, won=others + 1, yes=others + 1)
        world.tick(121)
        world.give_back(world.assignments(request)[0])


def nothing_is_searched_for_while_the_customer_has_another_request(world: World) -> None:
    for step in ("driver_accepted", "en_route_pickup"):
        request, _ = asked(world, 1, won=1, yes=1)
        trip = brought_to(world, request, step)
        world.broadcast(1, customer=world.customer_of(request))
        world.give_back(trip)
    request, _ = asked(world, 2, won=1, yes=1)
    world.tick(121)
    world.broadcast(1, customer=world.customer_of(request))
    world.give_back(world.assignments(request)[0])


def a_truck_never_sets_out(world: World) -> None:
    asked(world, 1, won=1, yes=1)
    world.tick(901)
    world.tick(2701)


def drivers_and_vehicles_are_replaced_at_every_step(world: World) -> None:
    for step in BEFORE_LOADING:
        request, fleet = asked(world, 2, won=1)
        spare = fleet.trucks[1]
        world.replace(brought_to(world, request, step), vehicle=spare.vehicle_id)
        world.replace(world.assignments(request)[0], driver=spare.driver_id)


def a_replacement_declines(world: World) -> None:
    request, fleet = asked(world, 2, won=1, yes=1)
    world.replace(world.assignments(request)[0], driver=fleet.trucks[1].driver_id)
    world.answer(world.assignments(request)[0], yes=False)


def the_only_truck_under_way_gets_another_driver(world: World) -> None:
    fleet = world.fleet(3)
    request = world.broadcast(2)
    world.accept(fleet, request, fleet.trucks[:2])
    world.drivers_accept(request)
    trip = brought_to(world, request, "en_route_pickup")
    world.replace(trip, driver=fleet.trucks[2].driver_id)


def customers_cancel_trucks_one_by_one(world: World) -> None:
    for step in BEFORE_LOADING:
        request, _ = asked(world, 1, won=1)
        world.cancel_truck(brought_to(world, request, step))
    for open_slots in (0, 1):
        request, _ = asked(world, 2 + open_slots, won=2)
        for trip in world.assignments(request):
            world.cancel_truck(trip)
    for won in (1, 2):
        request, _ = asked(world, 3, won=won, yes=won)
        world.tick(121)
        for trip in world.assignments(request):
            world.cancel_truck(trip)


def trucks_under_way_are_cancelled(world: World) -> None:
    request, _ = asked(world, 3, won=3, yes=3)
    first, second, _ = world.assignments(request)
    for trip in (first, second):
        world.report(trip, "en_route_pickup")
    for trip in (first, second):
        world.cancel_truck(trip)


def a_customer_does_not_come(world: World) -> None:
    request, _ = asked(world, 1, won=1, yes=1)
    world.report(world.assignments(request)[0], "at_pickup")
    world.tick(1801)
    world.report_no_show(world.assignments(request)[0])


def an_operator_ends_trips_at_every_step(world: World) -> None:
    for outcome in EndOutcome:
        for step in sorted(assignment.LIVE):
            request, _ = asked(world, 1, won=1)
            world.end_trip(brought_to(world, request, step), outcome)


def brought_to(world: World, request: UUID, step: str) -> Any:
    """Bring the first truck of the request to this status, and return its assignment."""
    [trip, *_] = world.assignments(request)
    if step != "pending" and trip.status == "pending":
        world.answer(trip, yes=True)
    if step in assignment.STEPS:
        world.report(trip, step)
    return next(each for each in world.assignments(request) if each.id == trip.id)


SCENARIOS: list[Callable[[World], None]] = [
    rings_go_round_until_nobody_has_come,
    rings_go_on_for_the_trucks_that_are_missing,
    a_request_ends_before_anybody_was_told,
    a_customer_cancels_whatever_has_not_set_out,
    trucks_are_won_one_by_one,
    a_driver_refuses_and_the_slot_comes_back,
    a_driver_refuses_while_another_drives,
    a_driver_refuses_too_late,
    a_truck_drives_and_delivers,
    trips_jump_from_any_step_to_any_later_one,
    holds_are_dropped_run_out_or_confirmed,
    holds_end_with_what_they_are_on,
    trucks_are_given_back_at_every_step,
    trucks_are_lost_and_searched_for_again,
    nothing_is_searched_for_while_the_customer_has_another_request,
    a_truck_never_sets_out,
    drivers_and_vehicles_are_replaced_at_every_step,
    a_replacement_declines,
    the_only_truck_under_way_gets_another_driver,
    customers_cancel_trucks_one_by_one,
    trucks_under_way_are_cancelled,
    a_customer_does_not_come,
    an_operator_ends_trips_at_every_step,
]


@pytest.mark.long
def test_every_arrow_of_every_lifecycle_is_taken_and_no_other(world: World) -> None:
    taken = set()
    for scenario in SCENARIOS:
        world.empty()
        scenario(world)
        for row in world.rows("SELECT * FROM transitions WHERE from_status IS NOT NULL"):
            taken.add(f"{row.subject}: {row.from_status} --{row.name}--> {row.to_status}")
    drawn = {
        f"{subject}: {start} --{name}--> {end}"
        for subject, lifecycle in LIFECYCLES.items()
        for start, end, name in lifecycle.arrows()
    }
    assert not (drawn - taken) - OUT_OF_REACH, "no scenario takes these"
    assert not taken - drawn, "no lifecycle has these"
    assert not taken & OUT_OF_REACH, "these can be reached after all"
