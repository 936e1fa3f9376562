"""How many round trips each command costs. The numbers are exact, so that a change that adds one is noticed.

A query that follows a lock may share its round trip (`prepared(after=…)`), so the two count once. BEGIN and COMMIT are not
counted, and neither is the one additional statement of a user's first command.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event

from tests.support.world import Fleet, World
from weelo_workers import presence
from weelo_workers.contracts.broadcasts import CancelBroadcast
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.fleet import RegisterVehicle, SetAvailability, VehicleDetails
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastKind, Role
from weelo_workers.contracts.trips import AdvanceTrip, DriverAccepts
from weelo_workers.redis_client import redis

NEAR = 3


@pytest.fixture
def fleets(world: World) -> list[Fleet]:
    """Return transporters who are online near each other. All their due commands have been executed."""
    fleets = [world.fleet(2, km_north=1.0) for _ in range(NEAR)]
    world.drain()
    return fleets


@contextmanager
def statements() -> Iterator[list[str]]:
    """Yield the list of statements that this thread sends to PostgreSQL, filled while the block runs."""
    sent: list[str] = []
    here = get_ident()

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        # Only statements of this thread count, because threads of earlier tests may still send some.
        if get_ident() == here:
            sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


def cost(world: World, command: Command, user_id: UUID, role: Role) -> int:
    """Execute the command as a user who has sent commands before. Return the number of statements."""
    known = SetAvailability(transporter_id=uuid4(), is_available=False)
    world.execute(known, user_id, role)
    world.drain()
    command_id = world.post(command, user_id, role)
    with statements() as sent:
        world.bus.execute(command_id)
    assert world.outcome(command_id, user_id).status == "succeeded"
    return len(sent)


def cost_of_next(world: World, name: str) -> int:
    """Execute the oldest row of this name. Return the number of statements."""
    row = world.value(
        "SELECT id FROM mailbox WHERE name = :name AND settled_at IS NULL ORDER BY received_at LIMIT 1",
        name=name,
    )
    with statements() as sent:
        world.bus.execute(row)
    assert world.value("SELECT settled_at IS NOT NULL FROM mailbox WHERE id = :row", row=row)
    return len(sent)


def test_a_booking_and_its_first_ring(world: World, fleets: list[Fleet]) -> None:
    assert cost(world, world.booking(customer := uuid4()), customer, Role.CUSTOMER) == 7


def test_a_booking_writes_its_entry_in_the_index_for_heartbeats_once(
    world: World, fleets: list[Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    index, kinds = presence.index_broadcast, []

    def noting(broadcast_id: UUID, as_of: float, of_kinds: Collection[str], *more: Any) -> None:
        kinds.append(set(of_kinds))
        index(broadcast_id, as_of, of_kinds, *more)

    monkeypatch.setattr(presence, "index_broadcast", noting)
    world.broadcast(1)
    assert kinds == [{"open:17ft"}], "it moves three times, and the entry has its last state"


def test_the_second_ring(world: World, fleets: list[Fleet]) -> None:
    world.fleet(km_north=20)
    broadcast = world.broadcast(1)
    world.drain()
    world.shift(15)
    assert cost_of_next(world, "broadcasts.widen") == 9
    assert len(world.told_at(broadcast)) == NEAR + 1


def on_the_road(world: World, fleet: Fleet) -> None:
    """Put all trucks of the fleet on the road. Then let time pass until no timer of a radius ring is pending."""
    broadcast = world.broadcast(len(fleet.trucks))
    world.accept(fleet, broadcast)
    world.drivers_accept(broadcast)
    world.tick(121)


def cost_of_two_rings(world: World) -> list[int]:
    first = cost(world, world.booking(customer := uuid4()), customer, Role.CUSTOMER)
    world.tick(1)
    world.shift(15)
    return [first, cost_of_next(world, "broadcasts.widen")]


def test_only_the_first_ring_that_meets_transporters_on_the_road_costs_more(
    world: World, fleets: list[Fleet]
) -> None:
    first, second = cost_of_two_rings(world)
    world.tick(121)
    on_the_road(world, fleets[0])
    assert cost_of_two_rings(world) == [first + 1, second]


def test_rings_in_which_all_transporters_are_on_the_road_are_one_step(world: World) -> None:
    redis().set("weelo:presence:since", 1)
    without_them = cost(world, world.booking(customer := uuid4()), customer, Role.CUSTOMER)
    world.tick(121)
    on_the_road(world, world.fleet(km_north=1.0))
    customer = uuid4()
    # Three more statements: the unit of work writes the narrower rings, a query finds the transporters on the road, and an
    # insert records them.
    assert cost(world, world.booking(customer), customer, Role.CUSTOMER) == without_them + 3


def test_an_accept(world: World, fleets: list[Fleet]) -> None:
    fleet, other, *_ = fleets
    broadcast = world.broadcast(2)
    one = world.accepting(fleet, broadcast, fleet.trucks[:1])
    assert cost(world, one, fleet.id, Role.TRANSPORTER) == 5
    world.drain()
    last = world.accepting(other, broadcast, other.trucks[:1])
    assert cost(world, last, other.id, Role.TRANSPORTER) == 5


def test_a_trip(world: World, fleets: list[Fleet]) -> None:
    fleet = fleets[0]
    world.accept(fleet, world.broadcast(1), fleet.trucks[:1])
    world.drain()
    (won,) = world.rows("SELECT id, trip_id, driver_id FROM assignments")
    accepts = DriverAccepts(assignment_id=won.id, driver_id=won.driver_id)
    assert cost(world, accepts, won.driver_id, Role.DRIVER) == 7
    world.drain()
    sets_out = AdvanceTrip(
        trip_id=won.trip_id, driver_id=won.driver_id, status=AssignmentStatus.EN_ROUTE_PICKUP
    )
    assert cost(world, sets_out, won.driver_id, Role.DRIVER) == 8


def test_a_cancellation(world: World, fleets: list[Fleet]) -> None:
    customer = uuid4()
    broadcast = world.broadcast(1, customer=customer)
    cancel = CancelBroadcast(broadcast_id=broadcast, customer_id=customer, kind=BroadcastKind.BOOKING)
    assert cost(world, cancel, customer, Role.CUSTOMER) == 9


def test_a_vehicle(world: World, fleets: list[Fleet]) -> None:
    details = VehicleDetails(vehicle_type="open", vehicle_subtype="17 Feet")
    user_id = fleets[0].id
    register = RegisterVehicle(transporter_id=user_id, vehicle_number="HR55X999999", details=details)
    assert cost(world, register, user_id, Role.TRANSPORTER) == 8


def test_a_rejection_costs_no_more_than_what_was_read(world: World, fleets: list[Fleet]) -> None:
    command_id = world.post(world.accepting(fleets[0], uuid4()), user_id := fleets[0].id, Role.TRANSPORTER)
    with statements() as sent:
        world.bus.execute(command_id)
    assert world.outcome(command_id, user_id).error["code"] == "BROADCAST_NOT_FOUND"
    assert len(sent) == 4
