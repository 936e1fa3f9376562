"""A played scene in which every personal value is unmistakable, so that it can be searched for in dumps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.broadcasts import CancelBroadcast, CreateBooking, NewBooking
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.fleet import (
    DriverDetails,
    RegisterDevice,
    RegisterDriver,
    RegisterVehicle,
    SetAvailability,
    VehicleDetails,
)
from weelo_workers.contracts.offers import AcceptTrucks, DeclineOffer, Truck
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.person import ErasePerson
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.contracts.trips import DriverDeclines
from weelo_workers.contracts.webhooks import CreateWebhook, NewWebhook
from weelo_workers.contracts.wire import Place
from weelo_workers.messaging import mailbox
from weelo_workers.models import Base
from weelo_workers.redis_client import redis
from weelo_workers.request_ids import request_id


@dataclass
class Person:
    """A user and their personal values. `word`: a part of every text that the user writes or is described by."""

    word: str
    role: Role
    id: UUID = field(default_factory=uuid4)

    @property
    def name(self) -> str:
        return f"{self.word} Quillfeather"

    @property
    def phone(self) -> str:
        digits = "".join(str(ord(letter) % 10) for letter in self.word)
        return f"+91 7{digits[:4]} 131313"

    @property
    def caller(self) -> Caller:
        return Caller(self.id, self.role, self.name, self.phone)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the texts that must not be found after this person is erased."""
        return (self.word, self.word.upper(), self.phone)

    def text(self, what: str) -> str:
        return f"{what} of {self.word}"


CUSTOMER_AT = (28.631_513_7, 77.216_713_7)
TRANSPORTER_AT = (28.644_513_9, 77.216_713_9)


@dataclass
class Scene:
    """A customer books, a transporter declines and then accepts, the driver declines, and the customer cancels."""

    world: World
    customer: Person = field(default_factory=lambda: Person("Zebulonia", Role.CUSTOMER))
    transporter: Person = field(default_factory=lambda: Person("Oxfordham", Role.TRANSPORTER))
    driver: Person = field(default_factory=lambda: Person("Yosemitch", Role.DRIVER))
    broadcast: UUID = field(default_factory=uuid4)

    @property
    def people(self) -> tuple[Person, ...]:
        return (self.customer, self.transporter, self.driver)

    def act(self, person: Person, command: Command, *, drain: bool = True) -> CommandOutcome:
        """Post a command as the person's app does, and execute it.

        The caller has the person's name and phone number, as in a token. The request id contains `word`.
        """
        before = request_id.set(f"request-of-{person.word}")
        try:
            with self.world.engine.begin() as connection:
                posted = mailbox.post(connection, command, person.caller, uuid4(), "a hash of " + person.word)
        finally:
            request_id.reset(before)
        self.world.bus.execute(posted.outcome.command_id)
        if drain:
            self.world.drain()
        return self.world.outcome(posted.outcome.command_id, person.id)

    def prepare(self) -> None:
        """Register the fleet, and a phone and a webhook of each person."""
        fleet = self.transporter
        vehicle = self.act(
            fleet,
            RegisterVehicle(
                transporter_id=fleet.id,
                vehicle_number=fleet.word.upper(),
                details=VehicleDetails(vehicle_type="open", vehicle_subtype="17 Feet"),
            ),
        )
        self.vehicle = UUID(vehicle.result["id"])
        self.register_driver()
        for person in self.people:
            self.act(
                person,
                RegisterDevice(user_id=person.id, token=person.text("token"), platform="ios"),
            )
            hook = NewWebhook(
                url=f"http://127.0.0.1:9/{person.word}",
                events=("*",),
                description=person.text("a hook"),
            )
            self.act(person, CreateWebhook(user_id=person.id, details=hook))
        with self.world.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE webhooks SET is_active = false, disabled_reason = 'owner', last_error = 'no host ' || url"
                )
            )
        self.act(fleet, SetAvailability(transporter_id=fleet.id, is_available=True))
        self.heartbeat()
        self.world.drain()

    def register_driver(self) -> CommandOutcome:
        details = DriverDetails(
            name=self.driver.name, phone=self.driver.phone, license_number=self.driver.text("licence")
        )
        command = RegisterDriver(
            transporter_id=self.transporter.id, driver_id=self.driver.id, details=details
        )
        return self.act(self.transporter, command)

    def heartbeat(self) -> None:
        from weelo_api.telemetry import transporter_heartbeat

        transporter_heartbeat(self.transporter.id, *TRANSPORTER_AT)

    def book(self) -> CommandOutcome:
        request = NewBooking(
            pickup=Place(
                latitude=CUSTOMER_AT[0], longitude=CUSTOMER_AT[1], address=self.customer.text("pickup")
            ),
            drop=Place(latitude=19.076_137, longitude=72.877_137, address=self.customer.text("drop")),
            goods_type=self.customer.text("goods"),
            notes=self.customer.text("notes"),
            vehicle_type="open",
            vehicle_subtype="17 Feet",
            trucks_needed=1,
            distance_km=1_412.5,
        )
        outcome = self.act(self.customer, CreateBooking(customer_id=self.customer.id, request=request))
        assert outcome.result, outcome.error
        self.broadcast = UUID(outcome.result["id"])
        return outcome

    def decline(self) -> None:
        self.act(
            self.transporter,
            DeclineOffer(
                broadcast_id=self.broadcast,
                transporter_id=self.transporter.id,
                reason=self.transporter.text("decline"),
            ),
        )

    def accept(self) -> CommandOutcome:
        truck = Truck(vehicle_id=self.vehicle, driver_id=self.driver.id)
        return self.act(
            self.transporter,
            AcceptTrucks(broadcast_id=self.broadcast, transporter_id=self.transporter.id, trucks=(truck,)),
        )

    def end(self) -> None:
        """Let the driver decline and the customer cancel, each with a reason in their own words."""
        [assignment] = self.world.assignments(self.broadcast)
        self.act(
            self.driver,
            DriverDeclines(
                assignment_id=assignment.id,
                driver_id=self.driver.id,
                reason=self.driver.text("decline"),
                reason_code=ProviderReason.OTHER,
            ),
        )
        self.act(
            self.customer,
            CancelBroadcast(
                broadcast_id=self.broadcast,
                customer_id=self.customer.id,
                kind=BroadcastKind.BOOKING,
                reason=self.customer.text("cancel"),
                reason_code=CustomerReason.OTHER,
            ),
        )

    def play(self) -> Scene:
        self.prepare()
        self.book()
        self.decline()
        self.accept()
        self.end()
        return self

    # --- erasing --------------------------------------------------------------------------------------

    def tick_until_erased(self, erasure: UUID) -> None:
        """Let time pass until this command has succeeded. An erasure waits 5 s if Redis is writing its files already."""

        def status() -> object:
            self.world.tick(2)
            return self.world.value("SELECT status FROM mailbox WHERE id = :id", id=erasure)

        eventually(lambda: status() == "succeeded", within=30)

    def send_erase(self, person: UUID) -> UUID:
        with self.world.engine.begin() as connection:
            return mailbox.send(connection, ErasePerson(person_id=person, reason="at their request"))

    def erase(self, person: UUID) -> Any:
        """Erase the person, and return the row of the command."""
        command = self.send_erase(person)

        def settled() -> Any:
            self.world.bus.execute(command)
            [row] = self.world.rows("SELECT * FROM mailbox WHERE id = :id", id=command)
            return row if row.settled_at is not None else None

        # An erasure waits 5 s if Redis is writing its files already, because of another test.
        return eventually(settled, within=30, every=0.001)

    # --- searching ------------------------------------------------------------------------------------

    def dump(self) -> dict[str, str]:
        """Return the rows of each table as text, and under the name `redis` everything in Redis."""
        found = {}
        with self.world.engine.connect() as connection:
            for table in Base.metadata.tables:
                rows = connection.execute(text(f"SELECT row_to_json(t)::text FROM {table} t")).scalars()
                found[table] = "\n".join(rows)
        found["redis"] = "\n".join(f"{key} {_value(key)}" for key in redis().scan_iter())
        return found


def _value(key: str) -> str:
    client = redis()
    read = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        "list": lambda name: client.lrange(name, 0, -1),
        "stream": client.xrange,
    }[client.type(key)]
    return str(read(key))
