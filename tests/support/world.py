"""The test driver: sends commands as users, shifts time, and reads rows and logs.

Commands run through the real mailbox and bus on real PostgreSQL and Redis, in this process. Journeys and faults
run them through real worker processes.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from tests.support.wakers import NullWaker
from weelo_api.telemetry import transporter_heartbeat
from weelo_workers.app import load_handlers
from weelo_workers.contracts.broadcasts import (
    CancelBroadcast,
    CancelByOperator,
    ContinuePartial,
    CreateBooking,
    CreateOrder,
    ExpireByOperator,
    NewBooking,
    NewOrder,
    VehicleRequirement,
    WidenByOperator,
)
from weelo_workers.contracts.command import Caller, Command
from weelo_workers.contracts.fleet import (
    DriverDetails,
    RegisterDriver,
    RegisterVehicle,
    SetAvailability,
    SetDriverAvailability,
    VehicleDetails,
)
from weelo_workers.contracts.offers import (
    AcceptTrucks,
    ConfirmHold,
    DeclineOffer,
    HoldSlots,
    ReleaseHold,
    SlotsWanted,
    Truck,
)
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.reasons import CustomerReason, OperatorReason, ProviderReason
from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastKind, EndOutcome, Role
from weelo_workers.contracts.trips import (
    AdvanceTrip,
    CancelTruck,
    DriverAccepts,
    DriverDeclines,
    EndTrip,
    GiveBack,
    GiveBackStalled,
    RemindToStart,
    ReplaceTruck,
    ReportNoShow,
    ReportStalled,
)
from weelo_workers.contracts.wire import Place
from weelo_workers.messaging import mailbox
from weelo_workers.messaging.bus import Bus
from weelo_workers.models import Base
from weelo_workers.models.engine import engine
from weelo_workers.redis_client import redis

load_handlers()

# Connaught Place, New Delhi.
DELHI = (28.6315, 77.2167)
KM_NORTH = 1 / 111.0
"""Degrees of latitude in a kilometre, exact enough for placing trucks."""

KINDS = ("17 Feet", "32 Feet Multi Axle", "10 Wheeler")
"""Subtypes of open trucks."""

PUSHES_END_EARLIER = """
    UPDATE mailbox SET payload = jsonb_set(payload, '{ends_at}', to_jsonb((payload->>'ends_at')::timestamptz - :by))
     WHERE name = 'notifications.push' AND settled_at IS NULL
"""

WATCHDOGS_WATCH_EARLIER = """
    UPDATE mailbox SET payload = jsonb_set(payload, '{since}', to_jsonb((payload->>'since')::timestamptz - :by))
     WHERE payload ? 'since'
"""

_numbers = itertools.count(1)


def place(km_north: float = 0.0) -> Place:
    return Place(latitude=DELHI[0] + km_north * KM_NORTH, longitude=DELHI[1], address=f"{km_north} km north")


def ordering(customer: UUID, *kinds: tuple[str, int], keyed: bool = False) -> CreateOrder:
    """Return an order of trucks of the type `open`. `kinds`: pairs of a subtype and the number of its trucks."""
    rows = [
        VehicleRequirement(vehicle_type="open", vehicle_subtype=kind, quantity=count) for kind, count in kinds
    ]
    request = NewOrder(pickup=place(), drop=place(200), vehicle_requirements=rows)
    return CreateOrder(customer_id=customer, request=request, keyed=keyed)


@dataclass
class Fleet:
    """A transporter with as many drivers as vehicles, all of one kind."""

    id: UUID
    trucks: list[Truck] = field(default_factory=list)


class World:
    def __init__(self, on: Engine | None = None, *, executing_on: Engine | None = None) -> None:
        """Make a test driver. `on`: the engine for posting and reading. `executing_on`: the engine for executing."""
        self.engine = on or engine()
        self.bus = Bus(executing_on or self.engine, NullWaker())

    def empty(self) -> None:
        # DELETE is used, because TRUNCATE creates new files for all tables and takes forty times as long.
        tables = reversed(Base.metadata.sorted_tables)
        with self.engine.begin() as connection:
            connection.execute(text("; ".join(f"DELETE FROM {table.name}" for table in tables)))
        redis().flushdb()

    # --- acting -------------------------------------------------------------------------------------

    def post(self, command: Command, user_id: UUID, role: Role, *, key: UUID | None = None) -> UUID:
        """Insert a command into the mailbox as the API does, without a wake-up. Returns its id."""
        with self.engine.begin() as connection:
            posted = mailbox.post(connection, command, Caller(user_id, role), key or uuid4(), "a request")
        return posted.outcome.command_id

    def execute(
        self, command: Command, user_id: UUID, role: Role, *, key: UUID | None = None
    ) -> CommandOutcome:
        """Post and execute a command, and return the outcome that its caller reads."""
        command_id = self.post(command, user_id, role, key=key)
        self.bus.execute(command_id)
        return self.outcome(command_id, user_id)

    def outcome(self, command_id: UUID, user_id: UUID) -> CommandOutcome:
        with self.engine.connect() as connection:
            outcome = mailbox.find_outcome(connection, command_id, user_id)
        assert outcome is not None
        return outcome

    def book(
        self,
        customer: UUID,
        trucks: int = 1,
        *,
        kind: str = "17 Feet",
        at: Place | None = None,
        key: UUID | None = None,
        **more: Any,
    ) -> CommandOutcome:
        return self.execute(
            self.booking(customer, trucks, kind=kind, at=at, **more), customer, Role.CUSTOMER, key=key
        )

    def booking(
        self,
        customer: UUID,
        trucks: int = 1,
        *,
        kind: str = "17 Feet",
        at: Place | None = None,
        keyed: bool = False,
        **more: Any,
    ) -> CreateBooking:
        request = NewBooking(
            pickup=at or place(),
            drop=place(200),
            vehicle_type="open",
            vehicle_subtype=kind,
            trucks_needed=trucks,
            **more,
        )
        return CreateBooking(customer_id=customer, request=request, keyed=keyed)

    def broadcast(self, trucks: int = 1, *, customer: UUID | None = None, **more: Any) -> UUID:
        """Book, run everything that is due (the offers of the first radius ring), and return the broadcast's id."""
        outcome = self.book(customer or uuid4(), trucks, **more)
        failure = self.value("SELECT last_error FROM mailbox WHERE id = :id", id=outcome.command_id)
        assert outcome.status == "succeeded", outcome.error or failure
        self.drain()
        return UUID(outcome.result["id"])

    def order(self, customer: UUID, *kinds: tuple[str, int]) -> CommandOutcome:
        return self.execute(ordering(customer, *kinds), customer, Role.CUSTOMER)

    def won(self, trucks: int = 1, *, customer: UUID | None = None) -> tuple[UUID, Fleet]:
        """Create a broadcast with `trucks` slots. A fleet with one truck accepts one of them.

        Return broadcast id and fleet.
        """
        fleet = self.fleet()
        broadcast_id = self.broadcast(trucks, customer=customer)
        self.accept(fleet, broadcast_id)
        self.drain()
        return broadcast_id, fleet

    def on_the_way(self, trucks: int = 1, customer: UUID | None = None) -> UUID:
        """Create a broadcast that is filled by `trucks` fleets, whose drivers have all accepted. Return its id."""
        fleets = [self.fleet() for _ in range(trucks)]
        broadcast_id = self.broadcast(trucks, customer=customer)
        for fleet in fleets:
            self.accept(fleet, broadcast_id)
        self.drivers_accept(broadcast_id)
        return broadcast_id

    def fleet(
        self, trucks: int = 1, *, kind: str = "17 Feet", km_north: float = 1.0, online: bool = True
    ) -> Fleet:
        fleet = Fleet(uuid4())
        for _ in range(trucks):
            number, driver = f"HR55X{next(_numbers):06d}", uuid4()
            details = VehicleDetails(vehicle_type="open", vehicle_subtype=kind)
            vehicle = self.execute(
                RegisterVehicle(transporter_id=fleet.id, vehicle_number=number, details=details),
                fleet.id,
                Role.TRANSPORTER,
            )
            person = DriverDetails(name=f"Driver {number}", phone="+91 11 2345 6789")
            self.execute(
                RegisterDriver(transporter_id=fleet.id, driver_id=driver, details=person),
                fleet.id,
                Role.TRANSPORTER,
            )
            fleet.trucks.append(Truck(vehicle_id=UUID(vehicle.result["id"]), driver_id=driver))
        if online:
            self.set_availability(fleet, online=True)
            self.heartbeat(fleet, km_north)
        return fleet

    def set_availability(self, fleet: Fleet, *, online: bool) -> CommandOutcome:
        command = SetAvailability(transporter_id=fleet.id, is_available=online)
        outcome = self.execute(command, fleet.id, Role.TRANSPORTER)
        self.sync_presence()
        return outcome

    def set_on_duty(self, driver: UUID, *, on_duty: bool) -> CommandOutcome:
        command = SetDriverAvailability(driver_id=driver, is_available=on_duty)
        return self.execute(command, driver, Role.DRIVER)

    def sync_presence(self) -> None:
        """Execute all pending `fleet.sync_presence` commands."""
        query = "SELECT id FROM mailbox WHERE name = 'fleet.sync_presence' AND settled_at IS NULL ORDER BY received_at"
        for row in self.rows(query):
            self.bus.execute(row.id)

    def heartbeat(self, fleet: Fleet, km_north: float) -> None:
        """Process a heartbeat as the API does."""
        at = place(km_north)
        transporter_heartbeat(fleet.id, at.latitude, at.longitude)

    def accepting(
        self,
        fleet: Fleet,
        broadcast_id: UUID,
        trucks: Sequence[Truck] | None = None,
        *,
        partial: bool = False,
    ) -> AcceptTrucks:
        return AcceptTrucks(
            broadcast_id=broadcast_id,
            transporter_id=fleet.id,
            trucks=tuple(fleet.trucks if trucks is None else trucks),
            partial=partial,
        )

    def accept(
        self,
        fleet: Fleet,
        broadcast_id: UUID,
        trucks: Sequence[Truck] | None = None,
        *,
        partial: bool = False,
    ) -> CommandOutcome:
        return self.execute(
            self.accepting(fleet, broadcast_id, trucks, partial=partial), fleet.id, Role.TRANSPORTER
        )

    def assignments(self, broadcast_id: UUID) -> list[Any]:
        """Return all assignments of a broadcast, live and ended, oldest first."""
        query = "SELECT * FROM assignments WHERE broadcast_id = :id ORDER BY created_at, id"
        return self.rows(query, id=broadcast_id)

    def drivers_accept(self, broadcast_id: UUID) -> None:
        """Let every driver with a pending assignment accept it."""
        for assignment in self.assignments(broadcast_id):
            if assignment.status == "pending":
                self.answer(assignment, yes=True)

    def answer(self, assignment: Any, *, yes: bool, reason: str | None = None) -> CommandOutcome:
        driver = assignment.driver_id
        if yes:
            command: Command = DriverAccepts(assignment_id=assignment.id, driver_id=driver)
        else:
            command = DriverDeclines(assignment_id=assignment.id, driver_id=driver, reason=reason)
        return self.execute(command, driver, Role.DRIVER)

    def report(self, assignment: Any, status: str) -> CommandOutcome:
        """Let the driver report this status of the trip."""
        step = AssignmentStatus(status)
        command = AdvanceTrip(trip_id=assignment.trip_id, driver_id=assignment.driver_id, status=step)
        return self.execute(command, assignment.driver_id, Role.DRIVER)

    def give_back(
        self,
        assignment: Any,
        *,
        by: Role = Role.DRIVER,
        reason: ProviderReason = ProviderReason.BREAKDOWN,
        note: str | None = None,
    ) -> CommandOutcome:
        """Let the driver or the transporter of this assignment give the truck back."""
        user_id = assignment.driver_id if by is Role.DRIVER else assignment.transporter_id
        command = GiveBack(
            assignment_id=assignment.id, user_id=user_id, role=by, reason_code=reason, note=note
        )
        return self.execute(command, user_id, by)

    def replace(
        self,
        assignment: Any,
        *,
        driver: UUID | None = None,
        vehicle: UUID | None = None,
        reason: ProviderReason | None = None,
    ) -> CommandOutcome:
        """Let the transporter of this assignment name another driver, another vehicle or both."""
        command = ReplaceTruck(
            assignment_id=assignment.id,
            transporter_id=assignment.transporter_id,
            driver_id=driver,
            vehicle_id=vehicle,
            reason_code=reason,
        )
        return self.execute(command, assignment.transporter_id, Role.TRANSPORTER)

    def report_no_show(self, assignment: Any, note: str | None = None) -> CommandOutcome:
        command = ReportNoShow(assignment_id=assignment.id, driver_id=assignment.driver_id, note=note)
        return self.execute(command, assignment.driver_id, Role.DRIVER)

    def cancel_truck(
        self,
        assignment: Any,
        customer: UUID | None = None,
        *,
        reason: CustomerReason = CustomerReason.PLANS_CHANGED,
        note: str | None = None,
    ) -> CommandOutcome:
        """Let the customer cancel this truck."""
        user_id = customer or self.customer_of(assignment.broadcast_id)
        command = CancelTruck(assignment_id=assignment.id, customer_id=user_id, reason_code=reason, note=note)
        return self.execute(command, user_id, Role.CUSTOMER)

    def end_trip(
        self,
        assignment: Any,
        outcome: str = EndOutcome.FAILED,
        *,
        reason: OperatorReason = ProviderReason.OTHER,
        note: str = "an operator ends it",
    ) -> CommandOutcome:
        """Let an operator end the trip, as `completed` or as `failed`."""
        command = EndTrip(
            assignment_id=assignment.id, outcome=EndOutcome(outcome), reason_code=reason, note=note
        )
        return self.execute(command, uuid4(), Role.ADMIN)

    def cancel_by_operator(
        self, broadcast_id: UUID, reason: str = "asked by telephone", *, operator: UUID | None = None
    ) -> CommandOutcome:
        command = CancelByOperator(broadcast_id=broadcast_id, reason=reason)
        return self.execute(command, operator or uuid4(), Role.ADMIN)

    def expire_by_operator(self, broadcast_id: UUID, reason: str = "asked by telephone") -> CommandOutcome:
        command = ExpireByOperator(broadcast_id=broadcast_id, reason=reason)
        return self.execute(command, uuid4(), Role.ADMIN)

    def widen_by_operator(
        self, broadcast_id: UUID, reason: str = "asked by telephone", *, step: int | None = None
    ) -> CommandOutcome:
        """Let an operator widen the search. `step`: the step to make; None for the next one."""
        (now,) = self.rows(
            "SELECT radius_step, reoffer_rounds FROM broadcasts WHERE id = :id", id=broadcast_id
        )
        following = now.radius_step + 1 if step is None else step
        command = WidenByOperator(
            broadcast_id=broadcast_id, reason=reason, step=following, round=now.reoffer_rounds
        )
        return self.execute(command, uuid4(), Role.ADMIN)

    def remind_to_start(self, assignment: Any, *, since: datetime | None = None) -> CommandOutcome:
        """Execute the timer `trips.remind_to_start`.

        `since`: the time that the timer carries; None for the time at which the assignment entered its status.
        """
        moment = since or assignment.state_changed_at
        return self.fire(RemindToStart(assignment_id=assignment.id, since=moment))

    def give_back_stalled(self, assignment: Any, *, since: datetime | None = None) -> CommandOutcome:
        """Execute the timer `trips.give_back_stalled`.

        `since`: the time that the timer carries; None for the time at which the assignment entered its status.
        """
        moment = since or assignment.state_changed_at
        return self.fire(GiveBackStalled(assignment_id=assignment.id, since=moment))

    def report_stalled(
        self, assignment: Any, *, since: datetime | None = None, status: str | None = None
    ) -> CommandOutcome:
        """Execute the timer `trips.report_stalled`.

        `since`, `status`: the time and the status that the timer carries; None for those of the assignment.
        """
        moment, watched = since or assignment.state_changed_at, AssignmentStatus(status or assignment.status)
        return self.fire(ReportStalled(assignment_id=assignment.id, since=moment, status=watched))

    def fire(self, timer: Command) -> CommandOutcome:
        """Execute a timer."""
        return self.execute(timer, uuid4(), Role.ADMIN)

    def hold(
        self, fleet: Fleet, broadcast_id: UUID, quantity: int = 1, kind: str | None = None
    ) -> CommandOutcome:
        request = SlotsWanted(quantity=quantity, vehicle_type="open" if kind else None, vehicle_subtype=kind)
        command = HoldSlots(broadcast_id=broadcast_id, transporter_id=fleet.id, request=request)
        return self.execute(command, fleet.id, Role.TRANSPORTER)

    def confirm(
        self, fleet: Fleet, hold_id: str | UUID, trucks: Sequence[Truck] | None = None
    ) -> CommandOutcome:
        named = tuple(fleet.trucks if trucks is None else trucks)
        command = ConfirmHold(hold_id=UUID(str(hold_id)), transporter_id=fleet.id, trucks=named)
        return self.execute(command, fleet.id, Role.TRANSPORTER)

    def release_hold(self, fleet: Fleet, hold_id: str | UUID) -> CommandOutcome:
        command = ReleaseHold(hold_id=UUID(str(hold_id)), transporter_id=fleet.id)
        return self.execute(command, fleet.id, Role.TRANSPORTER)

    def slots(self, broadcast_id: UUID) -> list[str]:
        """Return the statuses of the broadcast's slots, in the order of their numbers."""
        query = "SELECT status FROM truck_requests WHERE broadcast_id = :id ORDER BY request_number"
        return [row.status for row in self.rows(query, id=broadcast_id)]

    def decline(self, fleet: Fleet, broadcast_id: UUID) -> CommandOutcome:
        command = DeclineOffer(broadcast_id=broadcast_id, transporter_id=fleet.id)
        return self.execute(command, fleet.id, Role.TRANSPORTER)

    def cancel(
        self,
        broadcast_id: UUID,
        customer: UUID | None = None,
        *,
        reason: str | None = None,
        code: CustomerReason | None = None,
        kind: BroadcastKind = BroadcastKind.BOOKING,
    ) -> CommandOutcome:
        user_id = customer or self.customer_of(broadcast_id)
        command = CancelBroadcast(
            broadcast_id=broadcast_id, customer_id=user_id, kind=kind, reason=reason, reason_code=code
        )
        return self.execute(command, user_id, Role.CUSTOMER)

    def continue_partial(self, broadcast_id: UUID, customer: UUID) -> CommandOutcome:
        """Let the customer of a booking continue with the trucks that were assigned."""
        command = ContinuePartial(broadcast_id=broadcast_id, customer_id=customer, kind=BroadcastKind.BOOKING)
        return self.execute(command, customer, Role.CUSTOMER)

    def race(self, *acts: Callable[[], Any], spread: float = 0.0) -> list[Any]:
        """Run these functions at the same time, each in its own thread, and return their results.

        Each begins after a random delay of up to `spread` seconds, so that the fastest one does not always finish first.
        """
        line = threading.Barrier(len(acts))

        def run(act: Callable[[], Any]) -> Any:
            line.wait(timeout=30)
            time.sleep(random.uniform(0, spread))
            return act()

        with ThreadPoolExecutor(len(acts)) as pool:
            return list(pool.map(run, acts))

    # --- time ---------------------------------------------------------------------------------------

    def drain(self) -> int:
        """Execute commands until none is due. Returns how many were executed."""
        done = 0
        while due := self._due():
            for command_id in due:
                self.bus.execute(command_id)
            done += len(due)
            assert done < 10_000, "there are always more due commands"
        return done

    def tick(self, seconds: float) -> None:
        """Shift time, then execute the commands that have become due, in the order of their due times."""
        self.shift(seconds)
        self.drain()

    def shift(self, seconds: float) -> None:
        """Move all deadlines, due times and times of status changes into the past by `seconds`, and execute nothing."""
        with self.engine.begin() as connection:
            for statement in (
                "UPDATE mailbox SET due_at = due_at - :by, wake_at = wake_at - :by WHERE settled_at IS NULL",
                "UPDATE mailbox SET retry_at = retry_at - :by WHERE settled_at IS NULL",
                "UPDATE broadcasts SET expires_at = expires_at - :by, state_changed_at = state_changed_at - :by",
                PUSHES_END_EARLIER,
                WATCHDOGS_WATCH_EARLIER,
                "UPDATE holds SET expires_at = expires_at - :by",
                "UPDATE assignments SET expires_at = expires_at - :by, state_changed_at = state_changed_at - :by",
            ):
                connection.execute(
                    text(statement.replace(":by", "make_interval(secs => :by)")), {"by": seconds}
                )

    def _due(self) -> list[UUID]:
        query = (
            "SELECT id FROM mailbox WHERE settled_at IS NULL AND parked_at IS NULL AND due_at <= clock_timestamp()"
            " AND (retry_at IS NULL OR retry_at <= clock_timestamp()) ORDER BY due_at, received_at"
        )
        with self.engine.connect() as connection:
            return list(connection.execute(text(query)).scalars())

    # --- reading -------------------------------------------------------------------------------------

    def events_of(self, user_id: UUID, event: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of this user's log in order, each as `{seq, event, ...data}`."""
        query = """
            SELECT l.seq, e.event, e.data || COALESCE(l.own, '{}'::jsonb) AS data
              FROM log_lines l JOIN events e ON e.id = l.event_id WHERE l.user_id = :who ORDER BY l.seq
        """
        with self.engine.connect() as connection:
            rows = connection.execute(text(query), {"who": user_id}).all()
        return [
            {"seq": row.seq, "event": row.event, **row.data} for row in rows if event in (None, row.event)
        ]

    def told_at(self, broadcast_id: UUID) -> dict[UUID, int]:
        """Return the transporters to whom this broadcast was offered, each with the number of the step that made the offer."""
        rows = self.rows("SELECT transporter_id, step FROM offers WHERE broadcast_id = :id", id=broadcast_id)
        return {row.transporter_id: row.step for row in rows}

    def value(self, query: str, **parameters: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), parameters).scalar()

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters).all())

    def status(self, broadcast_id: UUID) -> str:
        return str(self.value("SELECT status FROM broadcasts WHERE id = :id", id=broadcast_id))

    def customer_of(self, broadcast_id: UUID) -> UUID:
        customer = self.value("SELECT customer_id FROM broadcasts WHERE id = :id", id=broadcast_id)
        assert isinstance(customer, UUID)
        return customer

    def live_assignments(self, broadcast_id: UUID) -> int:
        from weelo_workers.lifecycles.assignment import LIVE

        query = "SELECT count(*) FROM assignments WHERE broadcast_id = :id AND status = ANY(:live)"
        return int(self.value(query, id=broadcast_id, live=list(LIVE)))
