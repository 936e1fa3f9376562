"""A day at the market: requests of many kinds, and all ways in which a slot is won, lost or cancelled, or expires.

The commands run through the real handlers, in this process. Every story changes the market figures in its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from tests.support.world import KINDS, Fleet, World, place
from weelo_workers.contracts.broadcasts import CreateOrder, NewOrder, VehicleRequirement
from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver, RegisterVehicle, VehicleDetails
from weelo_workers.contracts.offers import DeclineOffer, Truck
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.trips import DriverDeclines
from weelo_workers.redis_client import redis

OPEN, CONTAINER = "17 Feet", "32 Feet Multi Axle"

Story = Callable[["Day"], None]


class Day:
    """Plays stories in a world. `random` decides how long customers wait, and which codes users give."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = Random(seed)

    # --- steps ----------------------------------------------------------------------------------------

    def asked(self, trucks: int, *, won: int = 0, yes: int = 0, at_km: float = 1.0) -> tuple[UUID, Fleet]:
        """Create a request of which one fleet wins `won` slots, each after some time. `yes`: how many of its drivers accept.

        Return the request's id and the fleet.
        """
        fleet = self.world.fleet(max(trucks, 1), km_north=at_km)
        request = self.world.broadcast(trucks)
        for truck in fleet.trucks[:won]:
            self.waits(request)
            self.world.accept(fleet, request, [truck])
        for assignment in self.world.assignments(request)[:yes]:
            self.world.answer(assignment, yes=True)
        return request, fleet

    def waits(self, request: UUID) -> None:
        """Move all times of this request and its transitions by 0.5 to 40 seconds into the past."""
        seconds = self.random.uniform(0.5, 40.0)
        with self.world.engine.begin() as connection:
            for table, columns, key in (
                ("broadcasts", ("created_at", "first_won_at", "filled_at"), "id"),
                ("transitions", ("at",), "broadcast_id"),
            ):
                earlier = ", ".join(f"{each} = {each} - make_interval(secs => :by)" for each in columns)
                statement = text(f"UPDATE {table} SET {earlier} WHERE {key} = :id")
                connection.execute(statement, {"by": seconds, "id": request})

    def containers(self, count: int) -> Fleet:
        """Register a fleet of `count` container trucks, and take it online near the pickup."""
        fleet = Fleet(uuid4())
        for _ in range(count):
            number, driver = f"RJ14C{uuid4().int % 10**6:06d}", uuid4()
            details = VehicleDetails(vehicle_type="container", vehicle_subtype=CONTAINER)
            register = RegisterVehicle(transporter_id=fleet.id, vehicle_number=number, details=details)
            vehicle = self.world.execute(register, fleet.id, Role.TRANSPORTER)
            person = DriverDetails(name=f"Driver {number}", phone="+91 11 2345 6789")
            self.world.execute(
                RegisterDriver(transporter_id=fleet.id, driver_id=driver, details=person),
                fleet.id,
                Role.TRANSPORTER,
            )
            fleet.trucks.append(Truck(vehicle_id=UUID(vehicle.result["id"]), driver_id=driver))
        self.world.set_availability(fleet, online=True)
        self.world.heartbeat(fleet, 2.0)
        return fleet

    def mixed_order(self) -> UUID:
        rows = [
            VehicleRequirement(vehicle_type="open", vehicle_subtype=OPEN, quantity=1),
            VehicleRequirement(vehicle_type="container", vehicle_subtype=CONTAINER, quantity=2),
        ]
        customer = uuid4()
        request = NewOrder(pickup=place(), drop=place(200), vehicle_requirements=rows)
        made = self.world.execute(CreateOrder(customer_id=customer, request=request), customer, Role.CUSTOMER)
        self.world.drain()
        return UUID(made.result["id"])

    def first(self, request: UUID) -> Any:
        return self.world.assignments(request)[0]

    def brought_to(self, request: UUID, step: str) -> Any:
        """Let the first truck reach this status, and return its assignment."""
        if step != "pending":
            self.world.answer(self.first(request), yes=True)
        if step not in ("pending", "driver_accepted"):
            self.world.report(self.first(request), step)
        return self.first(request)


# --- stories ------------------------------------------------------------------------------------------------


def filled_one_by_one_and_delivered(day: Day) -> None:
    trucks = day.random.randint(1, 3)
    request, _ = day.asked(trucks, won=trucks, yes=trucks)
    for assignment in day.world.assignments(request):
        day.world.report(assignment, "completed")


def accepts_come_too_late(day: Day) -> None:
    rivals = [day.world.fleet() for _ in range(day.random.randint(1, 2))]
    request, _ = day.asked(1, won=1)
    for rival in rivals:
        day.world.accept(rival, request)


def an_accept_comes_after_the_end(day: Day) -> None:
    for end in ("cancelled", "expired"):
        request, fleet = day.asked(1)
        if end == "cancelled":
            day.world.cancel(request)
        else:
            day.world.tick(121)
        day.world.accept(fleet, request)


def more_slots_are_wanted_than_are_open(day: Day) -> None:
    request, fleet = day.asked(3, won=2)
    rival = day.world.fleet(2)
    day.world.accept(rival, request)
    day.world.accept(fleet, request, fleet.trucks[2:])


def a_hold_is_confirmed_and_another_runs_out(day: Day) -> None:
    fleet = day.world.fleet()
    request = day.world.broadcast()
    hold = day.world.hold(fleet, request).result["holdId"]
    day.waits(request)
    day.world.confirm(fleet, hold)
    late = day.world.fleet()
    request = day.world.broadcast()
    hold = day.world.hold(late, request).result["holdId"]
    day.world.shift(91)
    day.world.confirm(late, hold)
    rival = day.world.fleet()
    day.world.drain()
    day.world.accept(rival, request)
    day.world.accept(late, request)


def an_accept_is_refused_after_it_has_ended_an_overdue_hold(day: Day) -> None:
    """The handler rejects after writing rows. Its transaction is rolled back, and another one stores the rejection."""
    holder, rival = day.world.fleet(2), day.world.fleet(3)
    request = day.world.broadcast(2)
    day.world.hold(holder, request, 2)
    day.world.shift(91)
    assert day.world.accept(rival, request).error["code"] == "NOT_ENOUGH_AVAILABLE"


def a_repeated_accept_counts_once(day: Day) -> None:
    fleet = day.world.fleet()
    request = day.world.broadcast()
    command, key = day.world.accepting(fleet, request), uuid4()
    for _ in range(2):
        command_id = day.world.post(command, fleet.id, Role.TRANSPORTER, key=key)
        for _ in range(2):
            day.world.bus.execute(command_id)
    day.world.accept(fleet, request)


def offers_of_wider_rings_win(day: Day) -> None:
    for km, steps in ((20.0, 1), (60.0, 3), (300.0, 4)):
        fleet = day.world.fleet(kind=KINDS[2], km_north=km)
        request = day.world.broadcast(kind=KINDS[2])
        for _ in range(steps):
            day.world.tick(16)
        day.waits(request)
        day.world.accept(fleet, request)
        day.world.set_availability(fleet, online=False)


def an_order_of_several_types(day: Day) -> None:
    open_trucks, rival, containers = day.world.fleet(), day.world.fleet(), day.containers(2)
    request = day.mixed_order()
    day.waits(request)
    day.world.accept(open_trucks, request)
    day.world.accept(rival, request)
    day.world.accept(containers, request, containers.trucks[: day.random.randint(1, 2)])


def drivers_decline(day: Day) -> None:
    request, _ = day.asked(2, won=2)
    codes = (ProviderReason.PRICE, None)
    for assignment, code in zip(day.world.assignments(request), codes, strict=True):
        command = DriverDeclines(
            assignment_id=assignment.id, driver_id=assignment.driver_id, reason_code=code
        )
        day.world.execute(command, assignment.driver_id, Role.DRIVER)


def a_driver_declines_and_the_slot_is_won_again(day: Day) -> None:
    fleet = day.world.fleet(2)
    request = day.world.broadcast()
    day.waits(request)
    day.world.accept(fleet, request, fleet.trucks[:1])
    day.world.answer(day.first(request), yes=False)
    day.world.drain()
    rival = day.world.fleet()
    day.world.drain()
    day.waits(request)
    assert day.world.accept(rival, request).status == "succeeded"


def drivers_are_silent(day: Day) -> None:
    day.asked(day.random.randint(1, 2), won=1)
    day.world.tick(46)


def trucks_are_given_back(day: Day) -> None:
    for step in ("pending", "driver_accepted", "at_pickup"):
        request, _ = day.asked(1, won=1)
        reason = day.random.choice(list(ProviderReason))
        day.world.give_back(day.brought_to(request, step), by=Role.TRANSPORTER, reason=reason)


def a_truck_never_sets_out(day: Day) -> None:
    day.asked(1, won=1, yes=1)
    day.world.tick(901)
    day.world.tick(2701)


def replacements_decline_or_are_silent(day: Day) -> None:
    for silent in (False, True):
        request, fleet = day.asked(2, won=1, yes=1)
        day.world.replace(day.first(request), driver=fleet.trucks[1].driver_id)
        if silent:
            day.world.tick(46)
        else:
            day.world.answer(day.first(request), yes=False)


def a_lost_truck_is_not_searched_for_again(day: Day) -> None:
    request, _ = day.asked(1, won=1)
    day.world.shift(121)
    day.world.answer(day.first(request), yes=False)


def customers_cancel(day: Day) -> None:
    for won, yes in ((0, 0), (1, 0), (2, 1)):
        request, _ = day.asked(2, won=won, yes=yes)
        day.world.cancel(request, code=day.random.choice([*CustomerReason, None]))


def customers_cancel_trucks(day: Day) -> None:
    for step in ("pending", "driver_accepted", "en_route_pickup", "at_pickup"):
        request, _ = day.asked(2, won=1)
        reason = day.random.choice(list(CustomerReason))
        day.world.cancel_truck(day.brought_to(request, step), reason=reason)


def a_customer_cancels_held_slots(day: Day) -> None:
    request, fleet = day.asked(2)
    day.world.hold(fleet, request)
    day.world.cancel(request)


def a_customer_does_not_come(day: Day) -> None:
    request, _ = day.asked(1, won=1, yes=1)
    day.world.report(day.first(request), "at_pickup")
    day.world.tick(1801)
    day.world.report_no_show(day.first(request))


def an_operator_ends_trips(day: Day) -> None:
    for outcome in ("completed", "failed"):
        request, _ = day.asked(1, won=1)
        day.world.end_trip(day.brought_to(request, "in_transit"), outcome)


def nobody_accepts(day: Day) -> None:
    request, fleet = day.asked(day.random.randint(1, 3))
    command = DeclineOffer(broadcast_id=request, transporter_id=fleet.id)
    day.world.execute(command, fleet.id, Role.TRANSPORTER)
    day.world.tick(121)


def nobody_is_online(day: Day) -> None:
    day.world.broadcast(kind="19 Feet")
    day.world.tick(121)


def nobody_is_free(day: Day) -> None:
    fleet = day.world.fleet(kind="22 Feet")
    busy = day.world.broadcast(kind="22 Feet")
    day.world.accept(fleet, busy)
    day.world.drivers_accept(busy)
    day.world.report(day.first(busy), "in_transit")
    day.world.heartbeat(fleet, 1.0)
    day.world.drain()
    day.world.broadcast(kind="22 Feet")
    day.world.tick(60)
    day.world.heartbeat(fleet, 1.0)
    day.world.tick(61)


def only_some_slots_are_won(day: Day) -> None:
    request, _ = day.asked(3, won=day.random.randint(1, 2), yes=1)
    day.world.tick(121)
    if day.random.random() < 0.5:
        day.world.continue_partial(request, day.world.customer_of(request))


STORIES: tuple[Story, ...] = (
    filled_one_by_one_and_delivered,
    accepts_come_too_late,
    an_accept_comes_after_the_end,
    more_slots_are_wanted_than_are_open,
    a_hold_is_confirmed_and_another_runs_out,
    an_accept_is_refused_after_it_has_ended_an_overdue_hold,
    a_repeated_accept_counts_once,
    offers_of_wider_rings_win,
    an_order_of_several_types,
    drivers_decline,
    a_driver_declines_and_the_slot_is_won_again,
    drivers_are_silent,
    trucks_are_given_back,
    a_truck_never_sets_out,
    replacements_decline_or_are_silent,
    a_lost_truck_is_not_searched_for_again,
    customers_cancel,
    customers_cancel_trucks,
    a_customer_cancels_held_slots,
    a_customer_does_not_come,
    an_operator_ends_trips,
    nobody_accepts,
    nobody_is_online,
    nobody_is_free,
    only_some_slots_are_won,
)


def play(world: World, seed: int, rounds: int = 1) -> None:
    """Play every story `rounds` times, in an order that the seed decides. After each story all fleets go offline."""
    day = Day(world, seed)
    stories = list(STORIES) * rounds
    day.random.shuffle(stories)
    for story in stories:
        story(day)
        world.drain()
        _leave(world)


def _leave(world: World) -> None:
    """Take all fleets offline, so that only fleets of the next story get its offers."""
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE transporters SET is_available = false"))
    redis().flushdb()
