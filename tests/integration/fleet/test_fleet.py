"""Vehicles, drivers and availability of a fleet, as its commands change them."""

from __future__ import annotations

from uuid import UUID, uuid4

from tests.support.world import World
from weelo_workers import presence
from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver, RegisterVehicle, VehicleDetails
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.statuses import Role


def test_a_vehicle_is_registered_once_corrected_by_its_fleet_and_refused_to_another(world: World) -> None:
    mine, other = uuid4(), uuid4()

    def register(fleet_id: UUID, subtype: str) -> CommandOutcome:
        details = VehicleDetails(vehicle_type="open", vehicle_subtype=subtype)
        return world.execute(
            RegisterVehicle(transporter_id=fleet_id, vehicle_number="DL 1 LA 1234", details=details),
            fleet_id,
            Role.TRANSPORTER,
        )

    assert register(mine, "17 Feet").http_status == 201
    corrected = register(mine, "20 Feet")
    assert (corrected.http_status, corrected.result["vehicleKey"]) == (200, "open:20ft")
    assert register(other, "17 Feet").error["code"] == "VEHICLE_EXISTS"


def test_two_fleets_registering_one_number_at_once_give_it_to_one(world: World) -> None:
    fleets = [uuid4(), uuid4(), uuid4()]
    details = VehicleDetails(vehicle_type="open", vehicle_subtype="17 Feet")
    outcomes = world.race(
        *[
            lambda fleet_id=fleet_id: world.execute(
                RegisterVehicle(transporter_id=fleet_id, vehicle_number="DL1", details=details),
                fleet_id,
                Role.TRANSPORTER,
            )
            for fleet_id in fleets
        ]
    )
    assert sorted(outcome.http_status for outcome in outcomes) == [201, 409, 409]


def test_a_driver_belongs_to_one_fleet(world: World) -> None:
    mine, other, driver = uuid4(), uuid4(), uuid4()
    details = DriverDetails(name="A driver", phone="+91 98100 00000")

    def register(fleet_id: UUID) -> CommandOutcome:
        return world.execute(
            RegisterDriver(transporter_id=fleet_id, driver_id=driver, details=details),
            fleet_id,
            Role.TRANSPORTER,
        )

    assert (register(mine).http_status, register(mine).http_status) == (201, 200)
    assert register(other).error["code"] == "DRIVER_EXISTS"


def test_the_same_availability_again_is_free_and_more_than_ten_changes_in_five_minutes_are_refused(
    world: World,
) -> None:
    fleet = world.fleet(online=False)
    for _ in range(30):
        assert world.set_availability(fleet, online=False).status == "succeeded"
    outcomes = [world.set_availability(fleet, online=number % 2 == 0) for number in range(11)]
    assert [outcome.http_status for outcome in outcomes] == [200] * 10 + [429]
    assert outcomes[-1].error["code"] == "TOGGLE_RATE_LIMITED"
    assert 0 < outcomes[-1].error["retryAfter"] <= 300
    with world.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE transporters SET recent_changes = array_remove(recent_changes, recent_changes[1])"
        )
    assert world.set_availability(fleet, online=True).status == "succeeded"


def test_a_heartbeat_counts_only_for_who_wants_work(world: World) -> None:
    fleet = world.fleet()
    world.heartbeat(fleet, 2)
    assert presence.last_position(fleet.id) is not None
    world.set_availability(fleet, online=False)
    world.heartbeat(fleet, 2)
    assert presence.last_position(fleet.id) is None


def test_a_number_is_the_same_with_or_without_its_spaces_and_hyphens(world: World) -> None:
    details = VehicleDetails(vehicle_type="open", vehicle_subtype="17 Feet")
    fleets = [uuid4(), uuid4()]
    numbers = ["HR 55 X 1234", "HR-55-X1234"]
    outcomes = [
        world.execute(
            RegisterVehicle(transporter_id=fleet_id, vehicle_number=number, details=details),
            fleet_id,
            Role.TRANSPORTER,
        )
        for fleet_id, number in zip(fleets, numbers, strict=True)
    ]
    assert [outcome.http_status for outcome in outcomes] == [201, 409]
    assert outcomes[0].result["vehicleNumber"] == "HR 55 X 1234"
