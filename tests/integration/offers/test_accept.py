"""Accepting: one accept for k of N trucks, typed refusals, and no slot or truck assigned twice."""

from __future__ import annotations

from uuid import uuid4

from tests.support.world import World
from weelo_workers.contracts.offers import Truck


def test_ACPT_02_each_loser_is_told_why_taken_cancelled_expired_or_full(world: World) -> None:
    winner, loser = world.fleet(), world.fleet()
    full = world.broadcast(1)
    world.accept(winner, full)
    assert world.accept(loser, full).error["code"] == "BROADCAST_FILLED"
    world.cancel(full)
    assert world.accept(loser, full).error["code"] == "BROADCAST_CANCELLED"
    expired = world.broadcast(1)
    world.tick(121)
    assert world.accept(loser, expired).error["code"] == "BROADCAST_EXPIRED"
    partly = world.broadcast(2)
    world.accept(winner, partly)
    slot = world.value("SELECT truck_request_id FROM assignments WHERE broadcast_id = :id", id=partly)
    named = [loser.trucks[0].model_copy(update={"truck_request_id": slot})]
    taken = world.accept(loser, partly, named)
    assert (taken.error["code"], taken.error["remaining"]) == ("REQUEST_ALREADY_TAKEN", 1)


def test_an_accept_after_the_deadline_loses_even_if_the_timer_has_not_come_yet(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET expires_at = clock_timestamp() - interval '1 ms'")
    assert world.accept(fleet, broadcast).error["code"] == "BROADCAST_EXPIRED"


def test_k_of_n_in_one_act(world: World) -> None:
    fleet = world.fleet(trucks=3)
    customer = uuid4()
    broadcast = world.broadcast(5, customer=customer)
    result = world.accept(fleet, broadcast).result
    assert (len(result["assignments"]), result["trucksFilled"], result["trucksNeeded"]) == (3, 3, 5)
    assert (result["isFullyFilled"], result["status"]) == (False, "partially_filled")
    world.drain()
    assert len(world.events_of(customer, "truck_confirmed")) == 3
    assert [f["trucksRemaining"] for f in world.events_of(fleet.id, "trucks_remaining_update")] == [2]


def test_all_or_nothing_takes_nothing_when_fewer_are_open(world: World) -> None:
    fleet = world.fleet(trucks=3)
    broadcast = world.broadcast(2)
    refused = world.accept(fleet, broadcast)
    assert (refused.error["code"], refused.error["remaining"]) == ("NOT_ENOUGH_AVAILABLE", 2)
    assert world.live_assignments(broadcast) == 0
    assert world.value("SELECT count(*) FROM truck_requests WHERE status = 'searching'") == 2


def test_partial_takes_as_many_as_are_open(world: World) -> None:
    fleet = world.fleet(trucks=3)
    broadcast = world.broadcast(2)
    result = world.accept(fleet, broadcast, partial=True).result
    assert (len(result["assignments"]), result["isFullyFilled"]) == (2, True)


def test_IDEM_02_03_an_accept_that_comes_again_is_answered_with_the_first_yes(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    first, second = world.accept(fleet, broadcast), world.accept(fleet, broadcast)
    assert second.status == "succeeded" and second.replayed
    assert first.result == second.result
    assert world.live_assignments(broadcast) == 1


def test_ACPT_06_a_driver_or_a_vehicle_is_on_at_most_one_live_assignment(world: World) -> None:
    fleet = world.fleet(trucks=2)
    first, second = world.broadcast(1), world.broadcast(1)
    one, other = fleet.trucks
    world.accept(fleet, first, [one])
    same_vehicle = Truck(vehicle_id=one.vehicle_id, driver_id=other.driver_id)
    same_driver = Truck(vehicle_id=other.vehicle_id, driver_id=one.driver_id)
    assert world.accept(fleet, second, [same_vehicle]).error["code"] == "VEHICLE_BUSY"
    assert world.accept(fleet, second, [same_driver]).error["code"] == "DRIVER_BUSY"
    assert world.accept(fleet, second, [other]).status == "succeeded"


def test_ACPT_06_a_driver_and_a_vehicle_belong_to_the_fleet_and_the_vehicle_fits(world: World) -> None:
    fleet, stranger = world.fleet(trucks=2), world.fleet()
    wrong_kind = world.fleet(kind="32 Feet Multi Axle")
    broadcast = world.broadcast(1)
    mine, other_truck = fleet.trucks[0], stranger.trucks[0]
    their_vehicle = Truck(vehicle_id=other_truck.vehicle_id, driver_id=mine.driver_id)
    their_driver = Truck(vehicle_id=mine.vehicle_id, driver_id=other_truck.driver_id)
    unknown = Truck(vehicle_id=uuid4(), driver_id=uuid4())
    assert world.accept(fleet, broadcast, [their_vehicle]).error["code"] == "VEHICLE_NOT_IN_FLEET"
    assert world.accept(fleet, broadcast, [their_driver]).error["code"] == "DRIVER_NOT_IN_FLEET"
    assert world.accept(fleet, broadcast, [unknown]).error["code"] == "VEHICLE_NOT_IN_FLEET"
    assert world.accept(wrong_kind, broadcast).error["code"] == "BROADCAST_NOT_FOUND"
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE vehicles SET vehicle_key = 'tanker:9t', vehicle_subtype = 'Tanker'"
        )
    assert world.accept(fleet, broadcast, [mine]).error["code"] == "VEHICLE_TYPE_MISMATCH"
    assert world.live_assignments(broadcast) == 0


def test_who_was_not_notified_does_not_know_the_broadcast(world: World) -> None:
    _, far = world.fleet(km_north=1), world.fleet(km_north=60)
    broadcast = world.broadcast(1)
    assert world.accept(far, broadcast).error["code"] == "BROADCAST_NOT_FOUND"
    assert world.decline(far, broadcast).error["code"] == "BROADCAST_NOT_FOUND"
    assert world.accept(far, uuid4()).error["code"] == "BROADCAST_NOT_FOUND"


def test_BCAST_04_everyone_concerned_hears_of_the_last_truck(world: World) -> None:
    winner, other = world.fleet(), world.fleet()
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    world.accept(winner, broadcast)
    world.drain()
    assert world.events_of(winner.id, "booking_fully_filled")[0]["assignedToYou"] == 1
    assert world.events_of(other.id, "booking_fully_filled")[0]["assignedToYou"] == 0
    assert len(world.events_of(customer, "booking_fully_filled")) == 1
    trip = world.events_of(winner.trucks[0].driver_id, "trip_assigned")[0]
    assert trip["pickup"]["lat"] == trip["pickup"]["latitude"]
    assert trip["assignment"]["vehicleId"] == str(winner.trucks[0].vehicle_id)


def test_a_declined_offer_is_still_known_and_declining_twice_is_fine(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    assert world.decline(fleet, broadcast).status == world.decline(fleet, broadcast).status == "succeeded"
    assert world.accept(fleet, broadcast).status == "succeeded"


def test_a_partial_accept_goes_on_with_what_is_not_won_yet(world: World) -> None:
    fleet = world.fleet(trucks=2)
    broadcast = world.broadcast(3)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    result = world.accept(fleet, broadcast, partial=True)
    assert (len(result.result["assignments"]), result.result["trucksFilled"], result.replayed) == (
        2,
        2,
        False,
    )
    assert world.accept(fleet, broadcast, partial=True).replayed


def test_all_or_nothing_is_refused_if_one_of_the_trucks_is_on_it_already(world: World) -> None:
    fleet = world.fleet(trucks=2)
    broadcast = world.broadcast(3)
    world.accept(fleet, broadcast, fleet.trucks[:1])
    assert world.accept(fleet, broadcast).error["code"] == "VEHICLE_BUSY"
    assert world.live_assignments(broadcast) == 1


def test_ACPT_04_an_order_is_accepted_by_the_same_act_as_a_booking(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE broadcasts SET kind = 'order'")
    customer = world.customer_of(broadcast)
    assert world.accept(fleet, broadcast).result["isFullyFilled"]
    world.drain()
    assert world.events_of(customer, "truck_confirmed")[0]["orderId"] == str(broadcast)
