"""The history agrees with the parties that the lifecycles name: no transition is made by another party.

The state of a slot, hold or broadcast often changes because its assignment changes. Then the lifecycle names the party
whose command changed the assignment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.changed_settings import with_settings
from tests.support.relations import set_by_customer
from tests.support.world import World
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.queues import TIMERS
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.statuses import EndOutcome, Role
from weelo_workers.contracts.trips import CancelTruck, EndTrip, GiveBack
from weelo_workers.lifecycles import assignment, broadcast, hold, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.lifecycles.parties import SYSTEM, TIMER

LIFECYCLES: dict[str, Lifecycle[Any]] = {
    "broadcast": broadcast.LIFECYCLE,
    "truck_request": truck_request.LIFECYCLE,
    "hold": hold.LIFECYCLE,
    "assignment": assignment.LIFECYCLE,
}
PARTIES_OF = {
    (subject, transition.name): transition.by
    for subject, lifecycle in LIFECYCLES.items()
    for transition in lifecycle.transitions
}


def one_delivered_one_accepted(world: World) -> tuple[UUID, UUID]:
    """Return a broadcast with two trucks, and the id of the second truck's assignment.

    The first truck has delivered. The second one has not set out.
    """
    request = world.on_the_way(trucks=2)
    first, second = world.assignments(request)
    world.report(first, "completed")
    return request, second.id


def give_back(world: World, assignment_id: UUID, role: Role) -> None:
    [row] = world.rows("SELECT * FROM assignments WHERE id = :id", id=assignment_id)
    user = row.driver_id if role is Role.DRIVER else row.transporter_id
    command = GiveBack(
        assignment_id=assignment_id, user_id=user, role=role, reason_code=ProviderReason.BREAKDOWN
    )
    assert world.execute(command, user, role).status == "succeeded"


def a_driver_gives_the_last_truck_back(world: World) -> None:
    _, last = one_delivered_one_accepted(world)
    give_back(world, last, Role.DRIVER)


def a_transporter_gives_the_last_truck_back(world: World) -> None:
    _, last = one_delivered_one_accepted(world)
    give_back(world, last, Role.TRANSPORTER)


def the_last_truck_does_not_set_out(world: World) -> None:
    request, _ = one_delivered_one_accepted(world)
    world.tick(901)
    world.tick(3600)
    assert world.status(request) == "completed"


def a_customer_cancels_the_last_truck(world: World) -> None:
    request, last = one_delivered_one_accepted(world)
    customer = world.customer_of(request)
    command = CancelTruck(assignment_id=last, customer_id=customer, reason_code=CustomerReason.PLANS_CHANGED)
    assert world.execute(command, customer, Role.CUSTOMER).status == "succeeded"


def an_operator_ends_a_trip(world: World) -> None:
    request, _ = world.won()
    command = EndTrip(
        assignment_id=world.assignments(request)[0].id,
        outcome=EndOutcome.COMPLETED,
        reason_code=ProviderReason.OTHER,
        note="delivered, by telephone",
    )
    assert world.execute(command, uuid4(), Role.ADMIN).status == "succeeded"


def an_operator_widens_and_cancels(world: World) -> None:
    world.fleet()
    request = world.broadcast(1)
    assert world.widen_by_operator(request).status == "succeeded"
    assert world.cancel_by_operator(request).status == "succeeded"


def an_operator_cancels_a_won_truck(world: World) -> None:
    request, _ = world.won()
    assert world.cancel_by_operator(request).status == "succeeded"


def an_operator_expires_a_held_slot(world: World) -> None:
    holder = world.fleet()
    request = world.broadcast(2)
    world.hold(holder, request)
    assert world.expire_by_operator(request).status == "succeeded"


def the_last_slot_is_taken_while_a_truck_drives(world: World) -> None:
    request, _ = world.won(trucks=2)
    world.drivers_accept(request)
    world.report(world.assignments(request)[0], "en_route_pickup")
    another = world.fleet()
    world.drain()
    assert world.accept(another, request).status == "succeeded"
    assert world.status(request) == "in_progress"


def a_customer_goes_on_with_a_truck_that_drives(world: World) -> None:
    request, _ = world.won(trucks=2)
    world.drivers_accept(request)
    world.report(world.assignments(request)[0], "en_route_pickup")
    world.tick(121)
    assert world.continue_partial(request, world.customer_of(request)).status == "succeeded"


def a_hold_runs_out_before_its_timer_runs(world: World) -> None:
    holder, other = world.fleet(), world.fleet()
    request = world.broadcast(1)
    world.hold(holder, request)
    world.shift(91)
    assert world.accept(other, request).status == "succeeded"


def a_fleet_comes_online_after_the_first_ring(world: World) -> None:
    request = world.broadcast(1)
    late = world.fleet()
    world.drain()
    assert late.id in world.told_at(request)


def a_customer_blocks_a_fleet_with_a_hold(world: World) -> None:
    holder = world.fleet()
    request = world.broadcast(1)
    world.hold(holder, request)
    assert set_by_customer(world, world.customer_of(request), holder).status == "succeeded"
    assert world.slots(request) == ["searching"]


STORIES: list[Callable[[World], None]] = [
    a_driver_gives_the_last_truck_back,
    a_transporter_gives_the_last_truck_back,
    the_last_truck_does_not_set_out,
    a_customer_cancels_the_last_truck,
    an_operator_ends_a_trip,
    an_operator_widens_and_cancels,
    an_operator_cancels_a_won_truck,
    an_operator_expires_a_held_slot,
    the_last_slot_is_taken_while_a_truck_drives,
    a_customer_goes_on_with_a_truck_that_drives,
    a_hold_runs_out_before_its_timer_runs,
    a_fleet_comes_online_after_the_first_ring,
    a_customer_blocks_a_fleet_with_a_hold,
]


@pytest.mark.parametrize("story", STORIES)
def test_every_transition_is_made_by_a_party_that_its_lifecycle_names(
    world: World, monkeypatch: pytest.MonkeyPatch, story: Callable[[World], None]
) -> None:
    with_settings(monkeypatch, reoffer_rounds=0)
    story(world)
    wrong = set()
    history = world.rows(
        "SELECT t.*, u.role FROM transitions t LEFT JOIN users u ON u.id = t.actor_id WHERE from_status IS NOT NULL"
        " AND t.subject <> 'offer'"
    )
    for row in history:
        by = PARTIES_OF[row.subject, row.name]
        party = TIMER if REGISTRY[row.cause].queue == TIMERS else row.role or SYSTEM
        # A customer's command that creates a broadcast also makes its first transitions, which belong to the system.
        if party not in by and not (row.cause.startswith("broadcasts.create_") and SYSTEM in by):
            wrong.add(f"{row.subject}: {row.name} by {party} ({row.cause}), not by {' or '.join(by)}")
    assert history
    assert not wrong
