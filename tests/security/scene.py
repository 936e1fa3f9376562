"""Data of several users in a running system: bookings, orders, trucks, drivers, a hold and a device."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

PICKUP = {"latitude": 12.97, "longitude": 77.59, "address": "Bengaluru"}
DROP = {"latitude": 13.08, "longitude": 80.27, "address": "Chennai"}
KIND = {"vehicleType": "open", "vehicleSubtype": "17 Feet"}
BOOKING: dict[str, Any] = {"pickup": PICKUP, "drop": DROP, **KIND, "trucksNeeded": 5}
ORDER: dict[str, Any] = {"pickup": PICKUP, "drop": DROP, "vehicleRequirements": [{**KIND, "quantity": 3}]}


def done(answer: httpx.Response) -> Any:
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


@dataclass
class Fleet:
    """A transporter who is available at the pickup, with trucks that each have a driver."""

    id: UUID
    http: httpx.Client
    plates: list[str] = field(default_factory=list)
    vehicles: list[str] = field(default_factory=list)
    drivers: list[UUID] = field(default_factory=list)

    def truck(self, number: int = 0) -> dict[str, str]:
        return {"vehicleId": self.vehicles[number], "driverId": str(self.drivers[number])}


def fleet(system: System, trucks: int = 3) -> Fleet:
    user_id = uuid4()
    made = Fleet(user_id, system.http(Role.TRANSPORTER, user_id))
    for _ in range(trucks):
        plate, driver = f"KA{random.randrange(10**10):010d}", uuid4()
        made.vehicles.append(done(made.http.put(f"/vehicles/{plate}", json=KIND))["id"])
        done(made.http.put(f"/drivers/{driver}", json={"name": "A driver", "phone": "+91 80 2222 3333"}))
        made.plates.append(plate)
        made.drivers.append(driver)
    done(made.http.put("/transporter/availability", json={"isAvailable": True}))
    here = {"latitude": PICKUP["latitude"], "longitude": PICKUP["longitude"]}
    assert made.http.post("/transporter/heartbeat", json=here).status_code == 204
    return made


class Scene:
    """A booking, another customer's order, and a fleet that has a truck on the booking and a hold on the order."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.customer, self.other_customer = uuid4(), uuid4()
        self.customers = system.http(Role.CUSTOMER, self.customer)
        self.fleet = fleet(system)
        self.neighbours = fleet(system, 1)
        posted = self.customers.post("/bookings", json=BOOKING, headers={"Prefer": "wait=0"})
        self.command = posted.json()["commandId"]
        self.booking = eventually(self._current)
        with system.http(Role.CUSTOMER, self.other_customer) as other:
            self.order = done(other.post("/orders", json=ORDER))["id"]
        for whose in (self.fleet, self.neighbours):
            eventually(lambda: self._offered(whose) >= {self.booking, self.order})  # noqa: B023
        won = done(self.fleet.http.post(f"/broadcasts/{self.booking}/accept", json=self.fleet.truck()))
        self.assignment, self.trip = won["assignments"][0]["id"], won["assignments"][0]["tripId"]
        held = done(self.fleet.http.post(f"/broadcasts/{self.order}/hold", json={"quantity": 1}))
        self.hold, self.slot = held["holdId"], held["truckRequestIds"][0]
        self.device = f"device-of-{self.customer}"
        done(self.customers.put(f"/devices/{self.device}", json={"platform": "android"}))
        hook = {"url": "http://127.0.0.1:9/no-server", "events": ["truck_lost"]}
        self.webhook = done(self.customers.post("/webhooks", json=hook))["id"]

    def _current(self) -> str | None:
        answer = self.customers.get("/broadcasts/current")
        return str(answer.json()["id"]) if answer.status_code == 200 else None

    @staticmethod
    def _offered(whose: Fleet) -> set[str]:
        return {offer["broadcastId"] for offer in done(whose.http.get("/offers"))["items"]}

    def as_its_people_see_it(self) -> list[Any]:
        """Return what requests of other users must not change: both broadcasts, the fleet's lists, and the webhook."""
        with self.system.http(Role.ADMIN, uuid4()) as admin:
            seen = [done(admin.get(f"/broadcasts/{each}")) for each in (self.booking, self.order)]
        for each in seen:
            del each["serverTime"]
        return [
            *seen,
            done(self.fleet.http.get("/vehicles")),
            done(self.fleet.http.get("/drivers")),
            done(self.fleet.http.get("/assignments")),
            {**done(self.customers.get(f"/webhooks/{self.webhook}")), "deliveredSeq": None},
        ]
