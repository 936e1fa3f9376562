"""Drivers go on and off duty."""

from __future__ import annotations

from uuid import uuid4

from tests.support.world import World


def test_PRES_02_a_drivers_change_reaches_its_transporter_once(world: World) -> None:
    fleet, other = world.fleet(), world.fleet()
    driver = fleet.trucks[0].driver_id
    assert world.set_on_duty(driver, on_duty=False).result["isAvailable"] is False
    world.set_on_duty(driver, on_duty=False)
    world.set_on_duty(driver, on_duty=True)
    world.drain()
    changes = [(f["driverId"], f["isOnline"]) for f in world.events_of(fleet.id, "driver_status_changed")]
    assert changes == [(str(driver), False), (str(driver), True)]
    assert world.events_of(other.id, "driver_status_changed") == []


def test_a_driver_off_duty_is_not_put_on_a_truck(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.set_on_duty(fleet.trucks[0].driver_id, on_duty=False)
    refused = world.accept(fleet, broadcast)
    assert refused.error["code"] == "DRIVER_BUSY" and "off duty" in refused.error["detail"]
    world.set_on_duty(fleet.trucks[0].driver_id, on_duty=True)
    assert world.accept(fleet, broadcast).status == "succeeded"


def test_going_off_duty_leaves_the_trip_that_has_begun(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    world.set_on_duty(fleet.trucks[0].driver_id, on_duty=False)
    world.drivers_accept(broadcast)
    assert world.assignments(broadcast)[0].status == "driver_accepted"


def test_somebody_whom_no_fleet_knows_is_not_found(world: World) -> None:
    assert world.set_on_duty(uuid4(), on_duty=True).error["code"] == "NOT_FOUND"
