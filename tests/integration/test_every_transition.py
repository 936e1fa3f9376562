"""Scenarios make every transition of the four lifecycles, and the history records each under its name in the lifecycle."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any
from uuid import UUID, uuid4

from tests.support.world import Fleet, World
from weelo_workers.contracts.statuses import AssignmentStatus
from weelo_workers.lifecycles import assignment, broadcast, hold, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle

LIFECYCLES: dict[str, Lifecycle[Any]] = {
    "broadcast": broadcast.LIFECYCLE,
    "truck_request": truck_request.LIFECYCLE,
    "hold": hold.LIFECYCLE,
    "assignment": assignment.LIFECYCLE,
}

# The command that creates a broadcast also enters and leaves `broadcasting`, in one transaction. So no other command
# finds a broadcast in `created` or `broadcasting`, unless an earlier version has created it.
OUT_OF_REACH = {
    "broadcast: created --cancel--> cancelled",
    "broadcast: created --expire--> expired",
    "broadcast: broadcasting --cancel--> cancelled",
    "broadcast: broadcasting --expire--> expired",
}


def asked(world: World, trucks: int, *, won: int = 0, yes: int = 0) -> tuple[UUID, Fleet]:
    """Create a request for `trucks` trucks. One fleet gets `won` slots, and the first `yes` of its drivers accept."""
    fleet = world.fleet(trucks)
    request = world.broadcast(trucks)
    if won:
        world.accept(fleet, request, fleet.trucks[:won])
    for truck in world.assignments(request)[:yes]:
        world.answer(truck, yes=True)
    return request, fleet


def refuses(world: World, request: UUID, *, late: bool = False) -> None:
    """Let the driver with the newest assignment decline. `late`: after the deadline, when no replacement is searched."""
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
]


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
