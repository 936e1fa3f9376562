"""The stage of a script: the fleets and customers who take part, and what the steps find in the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from weelo_api import telemetry
from weelo_api.commands import internal
from weelo_lab.engine import Engine
from weelo_lab.seeds.interruptions import Interruptions
from weelo_lab.seeds.scripted_faults import ScriptedFaults
from weelo_lab.virtual_clock import SECOND
from weelo_workers import presence
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.fleet import (
    DriverDetails,
    RegisterDriver,
    RegisterVehicle,
    SetAvailability,
    VehicleDetails,
)
from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import Place
from weelo_workers.models.engine import autocommit_engine

KINDS_OF_TRUCKS = ("17 Feet", "32 Feet Multi Axle")
# Delhi. Of FLEETS, the first two are in the first ring around the pickup, and the third is in the second ring. The
# fourth has trucks of the other kind.
PICKUP = presence.Point(28.6315, 77.2167)
DEGREES_PER_KM = 1 / 111.0
FLEETS = ((2, 0, 1.0), (1, 0, 3.0), (2, 0, 20.0), (2, 1, 2.0))
"""The fleets: number of trucks, kind, and kilometres north of the pickup."""
CUSTOMERS = 2
OPERATOR = UUID(int=0xAD << 100, version=4)

HEARTBEAT_MICROS = 60 * SECOND
PRESENCE_TTL_SECONDS = 180.0
"""Three heartbeats."""
SETTLED_BY = 5 * SECOND
"""Scripts begin this long after the beginning, when all fleets are online."""

_LIVE_FIRST = """
    SELECT id, trip_id, broadcast_id, driver_id, vehicle_id, transporter_id, status, replaced_drivers FROM assignments
     WHERE broadcast_id = :broadcast
     ORDER BY status IN ('pending', 'driver_accepted', 'en_route_pickup', 'at_pickup', 'loading_complete', 'in_transit',
                         'arrived_at_drop') DESC, created_at DESC, id"""


@dataclass(slots=True)
class Fleet:
    """A fleet that takes part in a script. `is_open`: whether its app is open and sends heartbeats."""

    id: UUID
    km_north: float
    trucks: list[Truck] = field(default_factory=list)
    is_open: bool = True


@dataclass(slots=True)
class Posted:
    """A command that a person has sent, kept so that a later step can send it again."""

    command: Command
    caller: Caller
    id: UUID


class Stage:
    """What a script is played with: the engine, the fleets and customers, and the prepared faults."""

    def __init__(self, lab: Engine, faults: ScriptedFaults, interruptions: Interruptions) -> None:
        self.lab, self.faults, self.interruptions = lab, faults, interruptions
        self.customers = [UUID(int=(0xC << 100) + number, version=4) for number in range(CUSTOMERS)]
        self.fleets = [
            Fleet(UUID(int=(0xF << 100) + number, version=4), km) for number, (_, _, km) in enumerate(FLEETS)
        ]
        self.requests: dict[int, UUID] = {}
        """The commands that created the requests, by the numbers of the requests."""
        self.posted: list[Posted] = []
        self._heartbeats_at = 0
        internal.waker = lambda: lab.bus.waker

    def set_up(self) -> None:
        """Register all fleets, and put them online."""
        for number, (fleet, (trucks, kind, _)) in enumerate(zip(self.fleets, FLEETS, strict=True)):
            caller = Caller(fleet.id, Role.TRANSPORTER)
            details = VehicleDetails(vehicle_type="open", vehicle_subtype=KINDS_OF_TRUCKS[kind])
            for truck in range(trucks):
                plate = f"LS {number:02} {truck:02}"
                vehicle = RegisterVehicle(transporter_id=fleet.id, vehicle_number=plate, details=details)
                self.lab.post(vehicle, caller)
                person = DriverDetails(name=f"Driver {number}-{truck}", phone="+91 11 2345 6789")
                driver_id = UUID(int=(0xD << 100) + 100 * number + truck, version=4)
                self.lab.post(
                    RegisterDriver(transporter_id=fleet.id, driver_id=driver_id, details=person), caller
                )
            self.lab.after(
                1,
                partial(self.lab.post, SetAvailability(transporter_id=fleet.id, is_available=True), caller),
            )
        self.lab.after(2, self.heartbeats)
        self.lab.run(SETTLED_BY)
        for number, fleet in enumerate(self.fleets):
            vehicles = self.rows(
                "SELECT id FROM vehicles WHERE transporter_id = :fleet ORDER BY vehicle_number",
                fleet=fleet.id,
            )
            fleet.trucks = [
                Truck(
                    vehicle_id=vehicle.id,
                    driver_id=UUID(int=(0xD << 100) + 100 * number + truck, version=4),
                )
                for truck, vehicle in enumerate(vehicles)
            ]

    def heartbeats(self) -> None:
        """Send the positions of the fleets whose apps are open."""
        self._heartbeats_at = self.lab.micros + HEARTBEAT_MICROS
        self.lab.write_time()
        places = {fleet.id: point(fleet.km_north) for fleet in self.fleets if fleet.is_open}
        if places:
            telemetry.transporter_heartbeats(places)

    def heartbeats_if_due(self) -> None:
        """Send the positions unless they were sent within the last minute."""
        if self.lab.micros >= self._heartbeats_at:
            self.heartbeats()

    # --- acting -------------------------------------------------------------------------------------

    def post(self, command: Command, user_id: UUID, role: Role) -> UUID:
        """Send a command as this person, and return its id."""
        caller = Caller(user_id, role)
        command_id = self.lab.post(command, caller)
        self.posted.append(Posted(command, caller, command_id))
        return command_id

    # --- reading ------------------------------------------------------------------------------------

    def rows(self, query: str, **parameters: Any) -> list[Row[Any]]:
        """Return the rows of this query at the present time of the run."""
        self.lab.write_time()
        with autocommit_engine().connect() as connection:
            return list(connection.execute(text(query), parameters).all())

    def fleet(self, number: int) -> Fleet:
        return self.fleets[number % len(self.fleets)]

    def customer(self, number: int) -> UUID:
        return self.customers[number % len(self.customers)]

    def broadcast(self, request: int) -> Row[Any] | None:
        """Return the broadcast of this request, None if it was not created."""
        command_id = self.requests.get(request)
        if command_id is None:
            return None
        query = """
            SELECT b.id, b.customer_id, b.kind, b.status, b.radius_step, b.reoffer_rounds
              FROM mailbox m JOIN broadcasts b ON b.id::text = m.result->>'id' WHERE m.id = :command"""
        found = self.rows(query, command=command_id)
        return found[0] if found else None

    def truck(self, request: int, number: int, first: str = "") -> Row[Any] | None:
        """Return the assignment `number` of a request, None if it has none. Those in the status `first` come first."""
        broadcast = self.broadcast(request)
        if broadcast is None:
            return None
        found = self.rows(_LIVE_FIRST, broadcast=broadcast.id)
        found.sort(key=lambda row: row.status != first)
        return found[number % len(found)] if found else None


def point(km_north: float) -> presence.Point:
    """Return the place this far north of the pickup."""
    return presence.Point(PICKUP.latitude + km_north * DEGREES_PER_KM, PICKUP.longitude)


def place(km_north: float) -> Place:
    """Return the same place with an address."""
    at = point(km_north)
    return Place(latitude=at.latitude, longitude=at.longitude, address=f"{km_north:g} km north")
