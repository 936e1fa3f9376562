"""A customer can cancel a broadcast as long as none of its trucks is under way.

The cancellation takes effect at once for all transporters and drivers.
"""

from __future__ import annotations

from uuid import uuid4

from tests.support.world import World


def test_CNCL_01_02_a_customer_may_cancel_before_anybody_heard_and_after_an_accept(world: World) -> None:
    fleet = world.fleet()
    customer = uuid4()
    unheard = world.book(customer)
    assert world.cancel(unheard.result["id"], customer).result["broadcast"]["status"] == "cancelled"
    partly = world.broadcast(2, customer=customer)
    world.accept(fleet, partly)
    outcome = world.cancel(partly)
    assert outcome.result["broadcast"]["status"] == "cancelled"
    assert (outcome.result["transportersNotified"], outcome.result["assignmentsCancelled"]) == (1, 1)


def test_CNCL_03_every_notified_transporter_is_told_once_even_who_declined(world: World) -> None:
    fleets = [world.fleet() for _ in range(5)]
    broadcast = world.broadcast(1)
    world.decline(fleets[0], broadcast)
    world.cancel(broadcast)
    world.drain()
    for fleet in fleets:
        withdrawals = world.events_of(fleet.id, "booking_cancelled")
        assert [(w["reason"], w["assignedToYou"]) for w in withdrawals] == [("customer_cancelled", 0)]


def test_CNCL_04_an_assigned_driver_is_told_and_driver_and_vehicle_are_free_again(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.cancel(broadcast)
    world.drain()
    driver = fleet.trucks[0].driver_id
    assert [frame["reason"] for frame in world.events_of(driver, "trip_cancelled")] == ["customer_cancelled"]
    assert world.events_of(fleet.id, "booking_cancelled")[0]["assignedToYou"] == 1
    assert world.live_assignments(broadcast) == 0
    another = world.broadcast(1)
    assert world.accept(fleet, another).status == "succeeded"


def test_CNCL_05_nothing_of_it_is_left_behind_and_no_timer_still_acts(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    world.drain()
    version = world.value("SELECT version FROM broadcasts WHERE id = :id", id=broadcast)
    lines = len(world.events_of(fleet.id))
    for _ in range(10):
        world.tick(15)
    assert world.value("SELECT version FROM broadcasts WHERE id = :id", id=broadcast) == version
    assert len(world.events_of(fleet.id)) == lines
    assert world.value("SELECT count(*) FROM mailbox WHERE settled_at IS NULL") == 0
    assert (
        world.value(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()"
        )
        == 0
    )


def test_CNCL_06_cancelling_the_cancelled_succeeds_with_the_same_answer(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    first, second = world.cancel(broadcast), world.cancel(broadcast)
    assert first.status == second.status == "succeeded"
    for answer in (first.result, second.result):
        answer["broadcast"].pop("serverTime")
    assert first.result == second.result


def test_what_is_over_or_somebody_elses_cannot_be_cancelled(world: World) -> None:
    broadcast = world.broadcast(1)
    assert world.cancel(broadcast, uuid4()).error["code"] == "BOOKING_NOT_FOUND"
    assert world.cancel(uuid4(), uuid4()).error["code"] == "BOOKING_NOT_FOUND"
    world.tick(130)
    assert world.cancel(broadcast).error["code"] == "BOOKING_CANNOT_CANCEL"


def test_a_truck_under_way_cannot_be_cancelled(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE assignments SET status = 'at_pickup'")
    refused = world.cancel(broadcast)
    assert refused.error["code"] == "BOOKING_CANNOT_CANCEL"
    assert world.live_assignments(broadcast) == 1


def test_CNCL_01_a_truck_that_has_delivered_was_under_way(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    world.report(world.assignments(broadcast)[0], "completed")
    assert world.status(broadcast) == "partially_filled"
    assert world.cancel(broadcast).error["code"] == "BOOKING_CANNOT_CANCEL"
