"""The people of a run: customers who ask for trucks, fleets that answer, and drivers.

They act by the same commands as the apps, at times of the virtual clock. Each decision is drawn from a random stream of
its own, such as the stream of one fleet and one request. So a decision does not depend on the policy or on other
fleets.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, func, select

from weelo_api import telemetry
from weelo_api.commands import internal
from weelo_lab.customers import Customers
from weelo_lab.demand import HOUR, Demand, Population, stream
from weelo_lab.drivers import Drivers
from weelo_lab.engine import Engine, Frame, Outcome
from weelo_lab.fleet import Fleet
from weelo_lab.virtual_clock import SECOND
from weelo_workers import presence
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.fleet import (
    DriverDetails,
    RegisterDriver,
    RegisterVehicle,
    SetAvailability,
    VehicleDetails,
)
from weelo_workers.contracts.offers import AcceptTrucks, DeclineOffer, Truck
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import Driver, Vehicle, driver_busy, vehicle_busy
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.models.prepared import prepared

_ENDS = frozenset({"booking_fully_filled", "booking_cancelled", "booking_expired"})
_ABOUT_OFFERS = _ENDS | {"new_broadcast", "trucks_remaining_update"}


_FLEET = bindparam("fleet", type_=Uuid())
_FREE = select(
    func.array(
        select(Vehicle.id)
        .where(Vehicle.transporter_id == _FLEET, ~vehicle_busy)
        .order_by(Vehicle.vehicle_number)
        .scalar_subquery(),
        type_=ARRAY(Uuid()),
    ),
    func.array(
        select(Driver.id)
        .where(Driver.transporter_id == _FLEET, ~driver_busy)
        .order_by(Driver.id)
        .scalar_subquery(),
        type_=ARRAY(Uuid()),
    ),
).execution_options(**prepared("lab_free_trucks"))


class People:
    """Plays all customers, fleets and drivers of one run."""

    def __init__(self, lab: Engine, demand: Demand, population: Population, seed: str) -> None:
        self._lab, self._demand, self._seed = lab, demand, seed
        self.fleets = {each.transporter_id: Fleet(each, each.at) for each in population.fleets}
        self.customers = Customers(lab, demand.customers, population.requests, seed)
        self._drivers = Drivers(lab, demand.driving, self.customers, seed)
        self._begin_micros = 0
        lab.on_frame = self._on_frame
        # Positions of fleets are handled by the API's own function, which wakes workers by this waker.
        internal.waker = lambda: lab.bus.waker

    # --- the beginning ------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Register all fleets with their vehicles and drivers, now."""
        for fleet in self.fleets.values():
            plan = fleet.plan
            kind = VehicleDetails(vehicle_type=plan.kind.type, vehicle_subtype=plan.kind.subtype)
            caller = Caller(plan.transporter_id, Role.TRANSPORTER, f"Fleet {plan.number}")
            dice = stream(self._seed, "drivers", plan.number)
            for number in range(1, plan.trucks + 1):
                plate = f"LB {plan.number:05} {number:02}"
                driver_id = UUID(int=dice.getrandbits(128), version=4)
                vehicle = RegisterVehicle(
                    transporter_id=plan.transporter_id, vehicle_number=plate, details=kind
                )
                self._lab.post(vehicle, caller)
                person = DriverDetails(
                    name=f"Driver {plan.number}-{number}", phone=f"+91 9{plan.number:05} {number:05}"
                )
                driver = RegisterDriver(
                    transporter_id=plan.transporter_id, driver_id=driver_id, details=person
                )
                self._lab.post(driver, caller)
                fleet.drivers.append(driver_id)
                self._drivers.add(driver_id, fleet)

    def begin(self, begin_micros: int, end_micros: int) -> None:
        """Plan the requests, the hours in which fleets are online, and their heartbeats until `end_micros`."""
        self._begin_micros = begin_micros
        self.customers.begin()
        for fleet in self.fleets.values():
            first, last = fleet.plan.group.online_from_hour, fleet.plan.group.online_until_hour
            since = self._demand.begins_at_hour
            if last <= since:
                continue
            self._lab.at(
                begin_micros + round((first - since) * HOUR * SECOND),
                partial(self._set_available, fleet, available=True),
            )
            leaves_at = begin_micros + round((last - since) * HOUR * SECOND)
            if leaves_at <= end_micros:
                self._lab.at(leaves_at, partial(self._set_available, fleet, available=False))
        self._lab.after(2.0, partial(self._heartbeats, end_micros))

    def _set_available(self, fleet: Fleet, *, available: bool) -> None:
        plan = fleet.plan
        command = SetAvailability(transporter_id=plan.transporter_id, is_available=available)
        self._lab.post(
            command,
            Caller(plan.transporter_id, Role.TRANSPORTER, f"Fleet {plan.number}"),
            partial(self._became_available, fleet, available),
        )

    def _became_available(self, fleet: Fleet, available: bool, outcome: Outcome) -> None:
        fleet.online = available and outcome.status == "succeeded"

    def _heartbeats(self, end_micros: int) -> None:
        online = [fleet for fleet in self.fleets.values() if fleet.online]
        places = {
            fleet.plan.transporter_id: presence.Point(fleet.at.latitude, fleet.at.longitude)
            for fleet in online
        }
        if places:
            self._lab.write_time()
            telemetry.transporter_heartbeats(places)
        self._lab.log.add(self._lab.micros, "heartbeats", fleets=len(online))
        again = self._lab.micros + round(self._demand.heartbeat_seconds * SECOND)
        if again <= end_micros:
            self._lab.at(again, partial(self._heartbeats, end_micros))

    # --- fleets -------------------------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        fleet = self.fleets.get(frame.user_id)
        if fleet is not None and frame.event in _ABOUT_OFFERS:
            if frame.event in _ENDS or frame.data.get("trucksRemaining") == 0:
                fleet.over.add(frame.data["broadcastId"])
                return
            fleet.over.discard(frame.data["broadcastId"])
            if frame.event == "new_broadcast":
                self._on_offer(fleet, frame.data)
        elif frame.event == "trip_assigned":
            self._drivers.on_trip(frame.user_id, frame.data["assignment"])

    def _on_offer(self, fleet: Fleet, offer: dict[str, Any]) -> None:
        fleet.offers += 1
        if offer["broadcastId"] in fleet.won_of:
            return
        customer = offer.get("customerId")
        asked = self.customers.of_broadcast(UUID(offer["broadcastId"]))
        price_ratio = asked.plan.price_ratio if asked is not None else 1.0
        number = asked.plan.number if asked is not None else customer
        dice = stream(self._seed, "fleet", fleet.plan.number, "answers", number)
        answers = fleet.plan.group.answers
        sees, accepts, declines, noise = dice.random(), dice.random(), dice.random(), dice.gauss(0.0, 1.0)
        if sees >= answers.sees:
            return
        km = offer.get("pickupDistanceKm") or 0.0
        seconds = answers.median_seconds(km) * math.exp(answers.spread * noise)
        tap = min(seconds, answers.tap_seconds)
        act = partial(self._answer, fleet, offer, (km, price_ratio), accepts, declines, round(tap, 3))
        self._lab.after(round(seconds, 3) - round(tap, 3), act)

    def _answer(
        self,
        fleet: Fleet,
        offer: dict[str, Any],
        km_and_price: tuple[float, float],
        accepts: float,
        declines: float,
        tap: float,
    ) -> None:
        """Decide now by what the app shows, and send the answer `tap` seconds later."""
        if offer["broadcastId"] in fleet.over or offer["broadcastId"] in fleet.won_of:
            return
        answers, broadcast_id = fleet.plan.group.answers, UUID(offer["broadcastId"])
        km, price_ratio = km_and_price
        hour = self._hour()
        if accepts < answers.willingness(km, 0.0, price_ratio, hour):
            free = self._free_trucks(fleet)
            busy = 1 - len(free) / fleet.plan.trucks
            if free and accepts < answers.willingness(km, busy, price_ratio, hour):
                wanted = max(1, len(offer.get("truckRequestIds") or ()))
                self._lab.after(tap, partial(self._accept, fleet, broadcast_id, free[:wanted]))
                return
        if declines < answers.declines:
            transporter_id = fleet.plan.transporter_id
            command = DeclineOffer(
                broadcast_id=broadcast_id, transporter_id=transporter_id, reason_code=ProviderReason.OTHER
            )
            caller = Caller(transporter_id, Role.TRANSPORTER)
            self._lab.after(tap, partial(self._lab.post, command, caller))

    def _hour(self) -> int:
        """Return the present hour of the day in the run, 0 to 23."""
        hours = (self._lab.micros - self._begin_micros) / (HOUR * SECOND)
        return int(self._demand.begins_at_hour + hours) % 24

    def _accept(self, fleet: Fleet, broadcast_id: UUID, trucks: list[Truck]) -> None:
        transporter_id = fleet.plan.transporter_id
        command = AcceptTrucks(
            broadcast_id=broadcast_id, transporter_id=transporter_id, trucks=tuple(trucks), partial=True
        )
        self._lab.post(command, Caller(transporter_id, Role.TRANSPORTER), partial(self._accepted, fleet))

    def _accepted(self, fleet: Fleet, outcome: Outcome) -> None:
        if outcome.status == "succeeded":
            fleet.wins += len(outcome.result["assignments"])
            won_of = {each["broadcastId"] for each in outcome.result["assignments"]}
            fleet.won_of |= won_of
            for broadcast_id in sorted(won_of):
                self.customers.has_truck(UUID(broadcast_id))

    def _free_trucks(self, fleet: Fleet) -> list[Truck]:
        """Return the fleet's free vehicles, each with a free driver, as its app shows them."""
        self._lab.write_time()
        with autocommit_engine().connect() as connection:
            vehicles, drivers = connection.execute(_FREE, {"fleet": fleet.plan.transporter_id}).one()
        return [
            Truck(vehicle_id=vehicle, driver_id=driver)
            for vehicle, driver in zip(vehicles, drivers, strict=False)
        ]
