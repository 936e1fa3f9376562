"""The people of the demo. Each has a client, and after `listen` also a socket."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from uuid import uuid4

import httpx

from weelo_client import Channel, Place, WeeloClient
from weelo_demo.tokens import mint
from weelo_demo.towns import Point, Town


@dataclass(frozen=True, slots=True)
class Installation:
    """The system under demonstration. `http` is the connection pool that all people of the demo share."""

    url: str
    secret: str
    http: httpx.Client
    audience: str | None = None


@dataclass(frozen=True, slots=True)
class VehicleKind:
    """A kind of vehicle, as customers request it and fleets register it."""

    vehicle_type: str
    vehicle_subtype: str

    def __str__(self) -> str:
        return f"{self.vehicle_type} {self.vehicle_subtype}"


# The spelling of the catalogue, in which the API names the kinds of slots.
OPEN = VehicleKind("open", "17 Feet")  # every transporter has a truck of this kind
CONTAINER = VehicleKind("container", "20 Feet")
TIPPER = VehicleKind("tipper", "9-11 Ton")
LCV = VehicleKind("lcv", "14 Feet Open")
TRAILER = VehicleKind("trailer", "40 Feet")  # only transporters outside the city have a truck of this kind


class Person:
    """One user with an app. `name` is shown on the screen."""

    role = ""

    def __init__(self, installation: Installation, name: str, person_id: str | None = None) -> None:
        self.id = person_id or str(uuid4())
        self.name = name
        token = mint(installation.secret, self.id, self.role, name=name, audience=installation.audience)
        self.client = WeeloClient(installation.url, token, http=installation.http)
        self._channel: Channel | None = None
        self._opening = threading.Lock()

    def listen(self) -> Channel:
        """Open the person's socket, if it is not open, and return its channel."""
        with self._opening:
            if self._channel is None:
                self._channel = self.client.listen()
            return self._channel

    @property
    def channel(self) -> Channel | None:
        """The person's channel, or None if it was never opened."""
        return self._channel

    def hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()


class Customer(Person):
    role = "customer"


class Operator(Person):
    role = "admin"


class Driver(Person):
    role = "driver"


@dataclass(slots=True)
class Truck:
    """A vehicle with its driver. Registration sets `vehicle_id`."""

    number: str
    kind: VehicleKind
    driver: Driver
    phone: str
    vehicle_id: str = ""


class Transporter(Person):
    role = "transporter"

    def __init__(self, installation: Installation, name: str, town: Town, at: Point) -> None:
        super().__init__(installation, name)
        self.town = town
        self.at = at
        self.trucks: list[Truck] = []

    def truck(self, kind: VehicleKind) -> Truck | None:
        return next((truck for truck in self.trucks if truck.kind == kind), None)

    def sign_on(self) -> None:
        """Register the fleet, go online, and send the position."""
        for truck in self.trucks:
            vehicle = self.client.register_vehicle(
                truck.number, truck.kind.vehicle_type, truck.kind.vehicle_subtype
            )
            truck.vehicle_id = vehicle["id"]
            self.client.register_driver(truck.driver.id, truck.driver.name, truck.phone)
        self.client.set_availability(True)
        self.client.heartbeat(self.at.latitude, self.at.longitude)

    def still_here(self) -> None:
        """Send a heartbeat: by socket if it is open, because a frame costs the server less than a request."""
        if self._channel is None or not self._channel.heartbeat(self.at.latitude, self.at.longitude):
            self.client.heartbeat(self.at.latitude, self.at.longitude)

    def sign_off(self) -> None:
        """Go offline, without waiting for the outcome: after a 202 the command will be executed."""
        self.client.set_availability(False, wait=0)


def place(at: Point, address: str) -> Place:
    return {"latitude": at.latitude, "longitude": at.longitude, "address": address}
