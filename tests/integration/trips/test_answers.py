"""A driver accepts, declines or does not answer. A slot that was declined or not answered is offered again."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.world import World
from weelo_workers.contracts.statuses import AssignmentStatus, Role
from weelo_workers.contracts.trips import AdvanceTrip, DriverAccepts, ExpireAssignment


def test_a_driver_who_says_yes_is_on_the_slot_and_everyone_concerned_hears_it(world: World) -> None:
    customer = uuid4()
    broadcast, fleet = world.won(customer=customer)
    outcome = world.answer(world.assignments(broadcast)[0], yes=True)
    world.drain()
    assert (outcome.result["status"], outcome.result["expiresAt"]) == ("driver_accepted", None)
    assert world.slots(broadcast) == ["accepted"]
    for user_id in (customer, fleet.id, fleet.trucks[0].driver_id):
        heard = [f["assignment"]["status"] for f in world.events_of(user_id, "assignment_status_changed")]
        assert heard == ["pending", "driver_accepted"]
    assert world.answer(world.assignments(broadcast)[0], yes=True).replayed


def test_TIMR_01_a_driver_who_does_not_answer_in_45_seconds_loses_the_slot(world: World) -> None:
    broadcast, fleet = world.won()
    assignment = world.assignments(broadcast)[0]
    world.tick(44)
    assert world.status(broadcast) == "fully_filled"
    world.tick(2)
    assert world.status(broadcast) == "active"
    assert [(a.status, a.reason_code) for a in world.assignments(broadcast)] == [
        ("driver_declined", "driver_timeout")
    ]
    assert len(world.events_of(fleet.id, "driver_timeout")) == 1
    assert world.answer(assignment, yes=True).error["code"] == "ASSIGNMENT_EXPIRED"


def test_a_slot_that_comes_back_is_offered_again_but_not_to_the_fleet_that_refused(world: World) -> None:
    other = world.fleet()
    broadcast, refuser = world.won()
    world.answer(world.assignments(broadcast)[0], yes=False, reason="Too far")
    world.drain()
    assert (world.status(broadcast), world.slots(broadcast)) == ("active", ["searching"])
    assert len(world.events_of(other.id, "new_broadcast")) == 2
    assert len(world.events_of(refuser.id, "new_broadcast")) == 1
    assert world.accept(other, broadcast).status == "succeeded"
    assert world.status(broadcast) == "fully_filled"


def test_a_fleet_with_another_driver_and_truck_is_asked_again(world: World) -> None:
    fleet = world.fleet(trucks=2)
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    world.answer(world.assignments(broadcast)[0], yes=False)
    world.drain()
    assert len(world.events_of(fleet.id, "new_broadcast")) == 2
    assert world.accept(fleet, broadcast, fleet.trucks[1:]).status == "succeeded"


def test_the_rings_go_on_where_they_stopped(world: World) -> None:
    farther = world.fleet(km_north=20)
    broadcast, _ = world.won()
    world.answer(world.assignments(broadcast)[0], yes=False)
    world.drain()
    assert len(world.events_of(farther.id, "new_broadcast")) == 1


def test_a_slot_that_comes_back_late_gets_a_minute(world: World) -> None:
    broadcast, _ = world.won()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET expires_at = clock_timestamp() + interval '10 s'")
    world.answer(world.assignments(broadcast)[0], yes=False)
    left = world.value(
        "SELECT EXTRACT(EPOCH FROM expires_at - clock_timestamp()) FROM broadcasts WHERE id = :id",
        id=broadcast,
    )
    assert 58 < left <= 60
    world.tick(59)
    assert world.status(broadcast) == "active"
    world.tick(62)
    assert world.status(broadcast) == "expired"


def test_after_the_deadline_the_slot_ends_and_the_customer_is_told(world: World) -> None:
    customer = uuid4()
    broadcast, _ = world.won(customer=customer)
    assignment = world.assignments(broadcast)[0]
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET expires_at = clock_timestamp()")
    assert world.answer(assignment, yes=False).status == "succeeded"
    world.drain()
    assert (world.status(broadcast), world.slots(broadcast)) == ("expired", ["expired"])
    assert [f["reason"] for f in world.events_of(customer, "no_vehicles_available")] == ["nobody_accepted"]


def test_beside_another_open_broadcast_the_slot_ends_and_the_new_one_goes_on(world: World) -> None:
    customer = uuid4()
    broadcast, _ = world.won(customer=customer)
    second = world.broadcast(1, customer=customer)
    world.answer(world.assignments(broadcast)[0], yes=False)
    world.drain()
    assert (world.status(broadcast), world.status(second)) == ("expired", "active")
    assert world.slots(broadcast) == ["expired"]


def test_of_two_trucks_one_refused_the_other_keeps_its_slot(world: World) -> None:
    fleets = [world.fleet(), world.fleet()]
    broadcast = world.broadcast(2)
    for fleet in fleets:
        world.accept(fleet, broadcast)
    first, second = world.assignments(broadcast)
    world.answer(second, yes=True)
    world.answer(first, yes=False)
    assert (world.status(broadcast), world.live_assignments(broadcast)) == ("partially_filled", 1)


@pytest.mark.parametrize("first", [True, False])
def test_yes_and_timeout_at_once_have_one_history(world: World, first: bool) -> None:
    broadcast, _ = world.won()
    assignment = world.assignments(broadcast)[0]
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE assignments SET expires_at = clock_timestamp() + make_interval(secs => %s)",
            (0.02 if first else 0,),
        )
    yes = world.post(
        DriverAccepts(assignment_id=assignment.id, driver_id=assignment.driver_id),
        assignment.driver_id,
        Role.DRIVER,
    )
    timer = world.post(ExpireAssignment(assignment_id=assignment.id), uuid4(), Role.ADMIN)
    world.race(
        lambda: world.bus.execute(yes), lambda: world.bus.execute(timer), lambda: world.bus.execute(timer)
    )
    world.drain()
    status = world.assignments(broadcast)[0].status
    assert (status, world.slots(broadcast)) in [
        ("driver_accepted", ["accepted"]),
        ("driver_declined", ["searching"]),
    ]


def test_somebody_elses_assignment_does_not_exist(world: World) -> None:
    broadcast, _ = world.won()
    assignment = world.assignments(broadcast)[0]
    stranger = uuid4()
    outcome = world.execute(
        DriverAccepts(assignment_id=assignment.id, driver_id=stranger), stranger, Role.DRIVER
    )
    assert outcome.error["code"] == "ASSIGNMENT_NOT_FOUND"
    nowhere = AdvanceTrip(trip_id=uuid4(), driver_id=stranger, status=AssignmentStatus.AT_PICKUP)
    assert world.execute(nowhere, stranger, Role.DRIVER).error["code"] == "ASSIGNMENT_NOT_FOUND"


def test_after_a_cancel_the_driver_can_no_longer_answer(world: World) -> None:
    broadcast, _ = world.won()
    assignment = world.assignments(broadcast)[0]
    world.cancel(broadcast)
    assert world.answer(assignment, yes=True).error["code"] == "INVALID_TRANSITION"
    assert world.answer(assignment, yes=False).error["code"] == "INVALID_TRANSITION"
    world.tick(60)
    assert world.assignments(broadcast)[0].status == "cancelled"
