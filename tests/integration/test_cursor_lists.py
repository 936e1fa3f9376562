"""Lists in pages: no row is lost or repeated, although rows change between pages and have equal times."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import Fleet, World, place
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver, RegisterVehicle, VehicleDetails
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries import broadcasts, fleets, offer_list
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.recipients import recipients

ListPage = Callable[[Session, PageRequest], Page | None]


def read_all(world: World, read: ListPage, key: str, between: Callable[[], object]) -> list[str]:
    """Return the ids of all rows, read one per page. `between` is called after each page."""
    listed: list[str] = []
    cursor = None
    while True:
        with Session(world.engine) as session:
            page = read(session, PageRequest(1, cursor))
        assert page is not None
        listed += [item[key] for item in page.items]
        if (cursor := page.next_cursor) is None:
            return listed
        between()


def make_times_equal(world: World, table: str, column: str) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {table} SET {column} = (SELECT min({column}) FROM {table})")


@pytest.mark.long_except("True")
@pytest.mark.parametrize("equal", [False, True])
def test_vehicles_and_drivers_are_listed_once_though_they_are_registered_again(
    world: World, equal: bool
) -> None:
    fleet = world.fleet(4)
    numbers = [row.vehicle_number for row in world.rows("SELECT vehicle_number FROM vehicles")]
    if equal:
        make_times_equal(world, "vehicles", "created_at")
        make_times_equal(world, "drivers", "created_at")

    def register_again() -> None:
        details = VehicleDetails(vehicle_type="open", vehicle_subtype="17 Feet", capacity_kg=9000)
        person = DriverDetails(name="Another name", phone="+91 11 2345 6789")
        for number in numbers:
            vehicle = RegisterVehicle(transporter_id=fleet.id, vehicle_number=number, details=details)
            assert world.execute(vehicle, fleet.id, Role.TRANSPORTER).status == "succeeded"
        for truck in fleet.trucks:
            driver = RegisterDriver(transporter_id=fleet.id, driver_id=truck.driver_id, details=person)
            assert world.execute(driver, fleet.id, Role.TRANSPORTER).status == "succeeded"
            world.set_on_duty(truck.driver_id, on_duty=False)

    vehicles = read_all(
        world, lambda session, request: fleets.vehicles(session, fleet.id, request), "id", register_again
    )
    drivers = read_all(
        world, lambda session, request: fleets.drivers(session, fleet.id, request), "id", register_again
    )
    assert sorted(vehicles) == sorted(str(truck.vehicle_id) for truck in fleet.trucks)
    assert sorted(drivers) == sorted(str(truck.driver_id) for truck in fleet.trucks)


@pytest.mark.parametrize("equal", [False, True])
def test_assignments_are_listed_once_though_their_status_changes(world: World, equal: bool) -> None:
    fleet = world.fleet(4)
    broadcast = world.broadcast(4)
    world.accept(fleet, broadcast)
    everything = world.assignments(broadcast)
    if equal:
        make_times_equal(world, "assignments", "created_at")
    reader = Caller(fleet.id, Role.TRANSPORTER)
    waiting = list(everything)

    def change_one() -> None:
        world.answer(waiting.pop(), yes=len(waiting) % 2 == 0)

    listed = read_all(
        world, lambda session, request: fleets.assignments(session, reader, request), "id", change_one
    )
    assert sorted(listed) == sorted(str(assignment.id) for assignment in everything)


@pytest.mark.parametrize("equal", [False, True])
def test_broadcasts_of_a_customer_are_listed_once_though_they_end_meanwhile(
    world: World, equal: bool
) -> None:
    customer = uuid4()
    made = []
    for _ in range(3):
        made.append(world.broadcast(1, customer=customer))
        world.cancel(made[-1], customer)
    made.append(world.broadcast(1, customer=customer))
    if equal:
        make_times_equal(world, "broadcasts", "created_at")
    listed = read_all(
        world,
        lambda session, request: broadcasts.history(session, customer, request),
        "id",
        lambda: world.cancel(made[-1], customer),
    )
    assert sorted(listed) == sorted(map(str, made))


@pytest.mark.long_except("True")
@pytest.mark.parametrize("equal", [False, True])
def test_offers_of_a_transporter_are_listed_once_though_slots_are_offered_again(
    world: World, equal: bool
) -> None:
    """If a driver declines, the slot is offered again, also to transporters who already have an offer of the broadcast."""
    fleet, winner = world.fleet(km_north=1), world.fleet(2, km_north=2)
    made = [world.broadcast(2) for _ in range(4)]
    if equal:
        make_times_equal(world, "offers", "offered_at")
    broadcast = made[0]

    def offer_again() -> None:
        world.accept(winner, broadcast, winner.trucks[:1])
        for assignment in world.assignments(broadcast):
            if assignment.status == "pending":
                assert world.answer(assignment, yes=False).status == "succeeded"
        world.drain()

    listed = read_all(
        world,
        lambda session, request: offer_list.offers(session, fleet.id, request),
        "broadcastId",
        offer_again,
    )
    assert sorted(listed) == sorted(map(str, made))


@pytest.mark.long
def test_recipients_are_listed_once_though_those_passed_over_get_offers_and_are_passed_over_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step stores its offers and the passed-over transporters with the same time, so most times in the list are equal."""
    with_settings(monkeypatch, max_open_offers=1, max_offers_per_step=2)
    told = [world.fleet(km_north=km) for km in (1, 2, 3, 4, 4.5)]
    full = [world.fleet(km_north=km) for km in (2.5, 3.5)]
    on_the_road = world.fleet(km_north=-6)
    first = world.broadcast(1, at=place(2))
    everyone = {fleet.id: fleet for fleet in (*told, *full, on_the_road)}
    for fleet in everyone.values():
        decline_all(world, fleet)
    world.cancel(first)
    first = world.broadcast(1, at=place(-6))
    world.accept(on_the_road, first)
    world.drivers_accept(first)
    near = [world.broadcast(1, at=place(km)) for km in (2.5, 3.5)]
    world.drain()
    for fleet in told:
        decline_all(world, fleet)
    broadcast = world.broadcast(1, at=place(-1))
    before = seen(world, broadcast)
    assert {reason for _, reason in before} >= {None, "no_free_truck", "too_many_offers", "next_step"}
    waiting = list(near)

    def make_room_and_widen() -> None:
        if waiting:
            world.cancel(waiting.pop())
        world.tick(12)

    listed = read_all(
        world,
        lambda session, request: recipients(session, broadcast, request),
        "transporterId",
        make_room_and_widen,
    )
    assert len(listed) == len(set(listed))
    assert {str(transporter_id) for transporter_id, _ in before} <= set(listed)
    assert seen(world, broadcast) != before


def decline_all(world: World, fleet: Fleet) -> None:
    for row in world.rows("SELECT broadcast_id FROM offers WHERE transporter_id = :id", id=fleet.id):
        world.decline(fleet, row.broadcast_id)


def seen(world: World, broadcast: UUID) -> set[tuple[UUID, str | None]]:
    """Return (transporter, None) for each offer, and (transporter, reason) for each transporter who was passed over."""
    rows = world.rows(
        """SELECT transporter_id, NULL AS reason FROM offers WHERE broadcast_id = :id
           UNION SELECT transporter_id, reason FROM passed_over WHERE broadcast_id = :id""",
        id=broadcast,
    )
    return {(row.transporter_id, row.reason) for row in rows}
