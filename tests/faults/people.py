"""The load: customers, transporters, drivers and operators. Each has an app and acts at random, as people do."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from tests.faults.ledger import Answer
from tests.support.tokens import token
from weelo_client import Channel, Frame
from weelo_workers.contracts.reasons import LABELS, CustomerReason, ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.assignment import BEFORE_LOADING, LIVE

if TYPE_CHECKING:
    from tests.faults.population import Population

OPEN_TRUCK = ("Open", "17 Feet")
SMALL_TRUCK = ("LCV", "14 Feet")
PICKUP = {"latitude": 28.61, "longitude": 77.21, "address": "New Delhi"}
DROP = {"latitude": 26.91, "longitude": 75.79, "address": "Jaipur"}
OPEN = {"created", "broadcasting", "active", "partially_filled"}


class Person:
    role: ClassVar[Role]

    def __init__(self, population: Population, dice: random.Random) -> None:
        self.id = str(uuid4())
        self.population, self.dice = population, dice
        self.ear = population.ledger.heard_log(self.id)
        self.bearer = token(self.role, self.id, ttl=86_400)
        self.channel: Channel | None = None

    def listen(self) -> None:
        self.channel = Channel(self.population.url, self.bearer, after=0, remember=10, on_frame=self._hear)
        self.channel.wait_for("connected", within=20)

    def hang_up(self) -> None:
        if self.channel is not None:
            self.channel.close()

    def _hear(self, frame: Frame) -> None:
        self.ear.add_frame(frame)
        if not self.population.over:
            self.on_event(frame.event, frame.data)

    def on_event(self, event: str, data: dict[str, Any]) -> None:
        """React to an event. Called in the socket's thread, so anything that takes time must go through `schedule`."""

    def act_once(self) -> float:
        """Perform an action that no event caused, and return the seconds until the next call."""
        return 5.0

    def schedule(self, act: Callable[[], object], earliest: float, latest: float) -> None:
        self.population.later(self.dice.uniform(earliest, latest), act)

    def send_command(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> Answer:
        """Send one command and return its last response.

        By chance the request waits for the outcome or does not. Most commands are repeated until they are answered.
        """
        waits = self.dice.random() < 0.6
        patient = self.dice.random() < 0.8
        return self.population.send(
            self, method, path, body, key or uuid4().hex, waits=waits, patient=patient
        )

    def get(self, path: str) -> Any:
        return self.population.read(self, path)


class Trucks:
    """The live assignments that an app knows from events, with their newest status."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[str, Any]] = {}

    def on_event(self, event: str, data: dict[str, Any]) -> None:
        if event == "assignment_status_changed":
            assignment = data["assignment"]
            if assignment["status"] in LIVE:
                self._by_id[assignment["id"]] = assignment
            else:
                self._by_id.pop(assignment["id"], None)

    def live(self) -> list[dict[str, Any]]:
        return list(self._by_id.values())

    def before_loading(self) -> list[dict[str, Any]]:
        return [each for each in self.live() if each["status"] in BEFORE_LOADING]


class Customer(Person):
    """Books, cancels the request or one truck, taps twice, and continues with a partial result."""

    role = Role.CUSTOMER

    def __init__(self, population: Population, dice: random.Random) -> None:
        super().__init__(population, dice)
        self.current: dict[str, Any] | None = None
        self.trucks = Trucks()

    def on_event(self, event: str, data: dict[str, Any]) -> None:
        self.trucks.on_event(event, data)
        newer = self.current is None or self.current["broadcastId"] != data.get("broadcastId")
        if event == "broadcast_state_changed" and (newer or data["version"] > self.current["version"]):
            self.current = data

    def act_once(self) -> float:
        status = self.current["status"] if self.current else None
        chance = self.dice.random()
        trucks = self.trucks.before_loading()
        if trucks and self.dice.random() < 0.1:
            self.cancels_truck(self.dice.choice(trucks))
        elif status in OPEN:
            if chance < 0.12:
                self.cancels()
            elif chance < 0.2:
                self.wishes()  # must be refused, because the customer's first request is open
        elif status in ("fully_filled", "in_progress") and chance < 0.12:
            self.cancels()
        elif status == "expired" and chance < 0.3:
            self.goes_on()
        elif chance < 0.85:
            self.wishes()
        return self.dice.uniform(1.0, 5.0)

    def wishes(self) -> None:
        path, body = (
            ("/bookings", self._booking()) if self.dice.random() < 0.65 else ("/orders", self._order())
        )
        key = uuid4().hex
        if self.dice.random() < 0.15:  # a double tap: the same command twice at once
            self.population.later(0.0, lambda: self.send_command("POST", path, body, key=key))
        self.send_command("POST", path, body, key=key)

    def cancels(self) -> None:
        self.send_command("PUT", f"/{self._kind()}/cancel", {"reason": "plans changed"})

    def cancels_truck(self, truck: dict[str, Any]) -> None:
        reason = self.dice.choice(list(CustomerReason))
        self.send_command("POST", f"/assignments/{truck['id']}/cancel", {"reasonCode": reason})

    def goes_on(self) -> None:
        self.send_command("POST", f"/{self._kind()}/continue-partial", {})

    def _kind(self) -> str:
        assert self.current is not None
        kind = "bookings" if self.current["kind"] == "booking" else "orders"
        return f"{kind}/{self.current['broadcastId']}"

    def _booking(self) -> dict[str, Any]:
        kind = {"vehicleType": OPEN_TRUCK[0], "vehicleSubtype": OPEN_TRUCK[1]}
        return {"pickup": PICKUP, "drop": DROP, **kind, "trucksNeeded": self.dice.randint(1, 3)}

    def _order(self) -> dict[str, Any]:
        wanted = [
            {"vehicleType": kind[0], "vehicleSubtype": kind[1], "quantity": quantity}
            for kind, quantity in ((OPEN_TRUCK, self.dice.randint(1, 2)), (SMALL_TRUCK, 1))
        ]
        return {"pickup": PICKUP, "drop": DROP, "vehicleRequirements": wanted}


class Driver(Person):
    """Accepts, declines or does not answer. Drives accepted trips to their end, gives them back or does not set out."""

    role = Role.DRIVER

    def __init__(self, population: Population, dice: random.Random) -> None:
        super().__init__(population, dice)
        self.trip: dict[str, Any] | None = None

    def on_event(self, event: str, data: dict[str, Any]) -> None:
        if event == "trip_assigned":
            self.trip = data["assignment"]
            self.schedule(self.answers, 0.1, 1.2)
        elif self.trip is not None and data.get("assignment", {}).get("id") == self.trip["id"]:
            self.trip = data["assignment"]
            if event == "trip_cancelled" and data["reason"] == "replaced":
                # The driver answers although another driver has the trip now. The answer must be refused.
                self.schedule(self.answers, 0.0, 0.5)
            elif self.trip["status"] == "at_pickup" and self.dice.random() < 0.8:
                # A report of a no-show is refused if it comes before PICKUP_WAIT_SECONDS.
                self.schedule(self.reports_no_show, 0.8, 1.6)

    def answers(self) -> None:
        if self.trip is None:
            return
        chance = 1.0 if self.population.obliging else self.dice.random()
        if chance > 0.3:
            self.send_command("POST", f"/assignments/{self.trip['id']}/accept", {})
        elif chance > 0.18:
            self.send_command("POST", f"/assignments/{self.trip['id']}/decline", {"reason": "not today"})

    def act_once(self) -> float:
        trip, chance = self.trip, self.dice.random()
        if trip is None or trip["driverId"] != self.id:
            return self.dice.uniform(1.5, 4.0)
        status = trip["status"]
        if status in ("driver_accepted", "en_route_pickup", "at_pickup") and chance < 0.08:
            reason = self.dice.choice(list(ProviderReason))
            self.send_command("POST", f"/assignments/{trip['id']}/give-back", {"reasonCode": reason})
        elif status in ("driver_accepted", "en_route_pickup") and chance < 0.12:
            self.reports_no_show()  # must be refused, because the truck has not reached the pickup
        elif status == "driver_accepted" and chance < 0.4:
            pass  # the driver does not set out; after some time a timer gives the truck back
        elif status in ("driver_accepted", "en_route_pickup", "at_pickup", "in_transit"):
            steps = ("en_route_pickup", "at_pickup", "at_pickup", "in_transit", "completed", "completed")
            step = self.dice.choice(steps)
            self.send_command("PUT", f"/trips/{trip['tripId']}/status", {"status": step})
        return self.dice.uniform(1.5, 4.0)

    def reports_no_show(self) -> None:
        if self.trip is not None:
            self.send_command("POST", f"/assignments/{self.trip['id']}/no-show", {"note": "nobody is here"})


class Transporter(Person):
    """A fleet of several trucks. It accepts (mostly at once, competing with others), holds, declines or ignores an offer.

    Sometimes it gives a truck back, or sends another driver or another vehicle.
    """

    role = Role.TRANSPORTER

    def __init__(self, population: Population, dice: random.Random, kinds: list[tuple[str, str]]) -> None:
        super().__init__(population, dice)
        self.latitude = 28.61 + dice.uniform(0.0, 0.3)  # 0.3 degrees are 33 km
        self.drivers = [Driver(population, random.Random(dice.random())) for _ in kinds]
        self.kinds = kinds
        self.vehicles: list[str] = []
        self.trucks = Trucks()
        self._beats = 0

    def signs_on(self) -> None:
        for number, (kind, driver) in enumerate(zip(self.kinds, self.drivers, strict=True)):
            vehicle = {"vehicleType": kind[0], "vehicleSubtype": kind[1]}
            plate = f"/vehicles/HR{number}X{self.id[:8].upper()}"
            send = self.population.send
            registered = send(self, "PUT", plate, vehicle, uuid4().hex, waits=True, patient=True)
            self.vehicles.append(registered.body["id"])
            phone = {"name": "A driver", "phone": "+91 98100 00000"}
            send(self, "PUT", f"/drivers/{driver.id}", phone, uuid4().hex, waits=True, patient=True)
        on = {"isAvailable": True}
        self.population.send(
            self, "PUT", "/transporter/availability", on, uuid4().hex, waits=True, patient=True
        )
        self.population.heartbeat(self)

    def on_event(self, event: str, data: dict[str, Any]) -> None:
        if event == "new_broadcast":
            # Most transporters answer as fast as they can, so that their accepts race.
            self.schedule(lambda: self.answers(data), 0.02, 0.1 if self.dice.random() < 0.7 else 2.0)
        elif event == "assignment_status_changed":
            self.trucks.on_event(event, data)
            self._changes_plans(data["assignment"])

    def _changes_plans(self, truck: dict[str, Any]) -> None:
        chance = self.dice.random()
        if truck["status"] not in BEFORE_LOADING:
            return
        if chance < 0.06:
            self.schedule(lambda: self.gives_back(truck), 0.1, 1.5)
        elif chance < 0.3:
            self.schedule(lambda: self.replaces(truck), 0.1, 1.5)

    def answers(self, offer: dict[str, Any]) -> None:
        chance, broadcast = self.dice.random(), offer["broadcastId"]
        if chance < 0.58:
            trucks = self._trucks(self.dice.choice((1, 1, 2)))
            partial = {"partial": True} if self.dice.random() < 0.5 else {}
            if trucks:
                self.send_command("POST", f"/broadcasts/{broadcast}/accept", {"trucks": trucks, **partial})
        elif chance < 0.68:
            self.send_command("POST", f"/broadcasts/{broadcast}/decline", {"reason": "too far"})
        elif chance < 0.84:
            self._holds(broadcast)

    def _holds(self, broadcast: str) -> None:
        held = self.population.send(
            self,
            "POST",
            f"/broadcasts/{broadcast}/hold",
            {"quantity": 1},
            uuid4().hex,
            waits=True,
            patient=False,
        )
        if held.status != 200 or not held.body.get("holdId"):
            return
        chance, hold = self.dice.random(), held.body["holdId"]
        if chance < 0.5:
            trucks = self._trucks(1)
            self.schedule(
                lambda: self.send_command("POST", f"/holds/{hold}/confirm", {"assignments": trucks}), 0.1, 2.2
            )
        elif chance < 0.7:
            self.schedule(lambda: self.send_command("POST", f"/holds/{hold}/release", {}), 0.1, 1.0)

    def _trucks(self, count: int) -> list[dict[str, str]]:
        """Choose trucks that are free as far as the app knows.

        If none is free, choose a busy one; a command that names it must be rejected.
        """
        trucks = list(zip(self.vehicles, self.drivers, strict=True))
        busy = {each["vehicleId"] for each in self.trucks.live()}
        free = [truck for truck in trucks if truck[0] not in busy] or trucks[:1]
        chosen = self.dice.sample(free, min(count, len(free)))
        return [{"vehicleId": vehicle, "driverId": driver.id} for vehicle, driver in chosen]

    def act_once(self) -> float:
        self._beats += 1
        here = {"latitude": self.latitude, "longitude": 77.21}
        if self._beats % 3 == 0 or self.channel is None or not self.channel.heartbeat(**here):
            self.population.heartbeat(self)
        return 3.0

    def gives_back(self, truck: dict[str, Any]) -> None:
        reason = self.dice.choice(list(ProviderReason))
        self.send_command(
            "POST", f"/assignments/{truck['id']}/give-back", {"reasonCode": reason, "note": "a flat tyre"}
        )

    def replaces(self, truck: dict[str, Any]) -> None:
        """Replace the driver, the vehicle or both by those of another truck of the fleet, which may be busy."""
        others = [
            (vehicle, driver.id)
            for vehicle, driver in zip(self.vehicles, self.drivers, strict=True)
            if vehicle != truck["vehicleId"] or driver.id != truck["driverId"]
        ]
        vehicle, driver = self.dice.choice(others)
        named = self.dice.choice(
            ({"driverId": driver}, {"vehicleId": vehicle}, {"driverId": driver, "vehicleId": vehicle})
        )
        self.send_command("POST", f"/assignments/{truck['id']}/replace", named)


class Operator(Person):
    """Ends live trips as completed or as failed, as if a driver had reported trouble by phone."""

    role = Role.ADMIN

    def act_once(self) -> float:
        trips = [driver.trip for driver in self.population.drivers if driver.trip is not None]
        live = [trip for trip in trips if trip["status"] in LIVE]
        if live:
            outcome, reason = self.dice.choice(("completed", "failed")), self.dice.choice(list(LABELS))
            body = {"outcome": outcome, "reasonCode": reason, "note": "the driver called"}
            self.send_command("POST", f"/assignments/{self.dice.choice(live)['id']}/end", body)
        return self.dice.uniform(2.0, 5.0)
