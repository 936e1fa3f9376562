"""What each operation costs: processor time by kind of process, and how many operations clients get per second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from math import ceil
from uuid import uuid4

from sqlalchemy import Connection as Database, func, select
from websocket import WebSocketTimeoutException

from bench.figures import Figure, milliseconds
from bench.http import Answer, closed_loop, request
from bench.processes import kinds, memory, processor_seconds
from bench.run import Run
from tests.support.people import BOOKING, OPEN, PICKUP, UNAVAILABLE_KIND, BareSocket
from tests.support.system import System
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import MailboxRow, Offer
from weelo_workers.models.mailbox import due

SETTINGS: Mapping[str, str] = {
    # So long that no deadline passes and no presence expires while operations are measured.
    "BROADCAST_TIMEOUT_SECONDS": "3600",
    "DRIVER_ACCEPT_SECONDS": "3600",
    "PRESENCE_TTL_SECONDS": "3600",
    # With these limits no request is refused. A flood cannot arise, because each client waits for its response.
    "MAX_OPEN_OFFERS": "10000",
    "COMMANDS_PER_SECOND": "10000",
    "SHED_AFTER_SECONDS": "600",
}
ALONE, MANY = UNAVAILABLE_KIND, OPEN
"""Two kinds of trucks. One fleet has trucks of the kind ALONE, many fleets have trucks of the kind MANY."""
WAIT_SECONDS = 30

PROCESSOR = "processor time per operation in ms, 1 client"
UNITS = "processor time per operation in no-op Celery tasks of the same run, 1 client"
RATES = "clients in a closed loop"
IDLE = "the idle system"


def cost(run: Run) -> list[Figure]:
    """Measure processor time per operation by kind of process, operations per second, and what the idle system uses."""
    # Each round is (number of clients, number of operations of each kind). In the full form the first round only warms
    # up: the second round has one client too, and its figures replace those of the first.
    rounds = run.size(((1, 8), (1, 60), (8, 120), (32, 160)), ((1, 1), (2, 2)))
    told = run.size(60, 2)
    idle_at_first = _idle(run, "after the start")
    with (
        run.database() as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as database,
    ):
        meter = Meter(run, database)
        fleet = Fleet(ALONE)
        _prepare(run, [fleet], trucks=1)
        with _receiving(run.system, fleet):
            for clients, many in rounds:
                vehicles = meter.measure("register vehicle", fleet.vehicles(many), clients)
                drivers = meter.measure("register driver", fleet.drivers(many), clients)
                fleet.add(vehicles, drivers)
            for clients, many in rounds:
                created = meter.measure("create, ring told to 1", _bookings(ALONE, many), clients)
                meter.measure("GET /offers?limit=20", [fleet.get("/offers?limit=20")] * many * 2, clients)
                meter.measure(
                    "GET availability", [fleet.get("/transporter/availability")] * many * 2, clients
                )
                meter.measure("accept, told to 1", _accepts(created, [fleet]), clients)
        fleets = [Fleet(MANY) for _ in range(told)]
        # Each fleet has one truck that it does not use, because a fleet without a free truck gets no offer.
        _prepare(run, fleets, trucks=1 + sum(ceil(many / told) for _, many in rounds))
        for clients, many in rounds:
            created = meter.measure(f"create, ring told to {told}", _bookings(MANY, many), clients)
            meter.measure(f"accept, told to {told}", _accepts(created, fleets), clients)
        _send(run, [each.availability(wanted=False) for each in (fleet, *fleets)])
        offers = database.execute(select(func.count()).select_from(Offer)).scalar_one()
        assert offers == sum(many for _, many in rounds) * (1 + told), "a ring was not told to all fleets"
    return [
        *meter.figures(),
        *_ratio(run, meter, (1, told)),
        *idle_at_first,
        *_idle(run, "after all operations"),
    ]


def _ratio(run: Run, meter: Meter, told: Sequence[int]) -> list[Figure]:
    name = "processor time of an accept ÷ (no-op task + bare Flask and enqueue + its bare SQL)"
    costs = {
        f"told to {number}": meter.batches[f"accept, told to {number}", 1].milliseconds for number in told
    }
    return [Figure(name, {who: each / run.ceilings.bare_accept for who, each in costs.items()}, goal="2.5")]


def _idle(run: Run, when: str) -> list[Figure]:
    """Measure the system while it has nothing to do."""
    seconds = run.size(10.0, 1.0)
    before = processor_seconds(kinds(run.system, run.data))
    time.sleep(seconds)
    processes = kinds(run.system, run.data)
    used = _difference(before, processor_seconds(processes))
    rows: dict[str, Mapping[str, float]] = {
        "processor time, % of a core": {kind: each / seconds * 100 for kind, each in used.items()},
        "processes": {kind: len(pids) for kind, pids in processes.items()},
        "memory in MB (PSS)": memory(processes),
    }
    return [
        Figure(f"{what}, {when}", {**row, "all": sum(row.values())}, table=IDLE) for what, row in rows.items()
    ]


@dataclass(frozen=True, slots=True)
class Batch:
    """The measured operations of one kind."""

    answers: Sequence[Answer]
    used: Mapping[str, float]
    """Processor time per operation in ms, by kind of process. Commands that the operation sends are included."""
    answered_in: float
    """Seconds until the last response. By then the events of all operations are in their readers' logs."""

    @property
    def milliseconds(self) -> float:
        return sum(self.used.values())


class Meter:
    """Measures batches of operations, and keeps the results by operation and number of clients."""

    def __init__(self, run: Run, database: Database) -> None:
        self.batches: dict[tuple[str, int], Batch] = {}
        self._run, self._database = run, database

    def measure(self, operation: str, requests: Sequence[bytes], clients: int) -> list[Answer]:
        """Send these requests, wait until no command is due, and return the responses in the order of the requests."""
        self._wait_until_nothing_is_due()
        before = processor_seconds(kinds(self._run.system, self._run.data))
        own, began = time.process_time(), time.perf_counter()
        answers = closed_loop(self._run.system.port, requests, clients)
        answered_in, own = time.perf_counter() - began, time.process_time() - own
        self._wait_until_nothing_is_due()
        used = {
            **_difference(before, processor_seconds(kinds(self._run.system, self._run.data))),
            "client": own,
        }
        refused = [answer for answer in answers if answer.status not in (200, 201)]
        assert not refused, f"{operation}: {refused[0]}"
        self.batches[operation, clients] = Batch(
            answers,
            {kind: seconds / len(answers) * 1000 for kind, seconds in used.items()},
            answered_in,
        )
        return answers

    def figures(self) -> list[Figure]:
        """Return the rows of three tables.

        They show processor time in ms, the same time divided by that of a no-op task, and operations per second by
        number of clients.
        """
        unit = self._run.ceilings.no_op_task.milliseconds
        by_kind, in_units, rates = [], [], []
        for (operation, clients), batch in self.batches.items():
            if clients == 1:
                row = {**batch.used, "all": batch.milliseconds}
                by_kind.append(Figure(operation, row, table=PROCESSOR))
                in_units.append(
                    Figure(operation, {kind: each / unit for kind, each in row.items()}, table=UNITS)
                )
            latency = milliseconds([answer.seconds for answer in batch.answers], 0.5, 0.99)
            rate = {
                "answered per second": len(batch.answers) / batch.answered_in,
                **{f"{name} ms": value for name, value in latency.items()},
                "processor ms": batch.milliseconds,
                "no-op tasks": batch.milliseconds / unit,
            }
            rates.append(Figure(f"{operation}, {clients} at a time", rate, table=RATES))
        return [*by_kind, *in_units, *rates]

    def _wait_until_nothing_is_due(self) -> None:
        waiting = select(func.count()).select_from(MailboxRow).where(due())
        eventually(lambda: self._database.execute(waiting).scalar_one() == 0, within=60, every=0.1)
        # After the last commit, messages are still acknowledged and frames sent. This work is a part of the cost.
        time.sleep(0.2)


class Fleet:
    """A transporter near the pickup with trucks of one kind. Each truck accepts once."""

    def __init__(self, kind: tuple[str, str]) -> None:
        self.id, self._kind = uuid4(), kind
        self._registered = 0
        self._free: deque[dict[str, str]] = deque()

    def vehicles(self, many: int) -> list[bytes]:
        """Return requests that register `many` new vehicles."""
        body = dict(zip(("vehicleType", "vehicleSubtype"), self._kind, strict=True))
        first, self._registered = self._registered, self._registered + many
        numbers = [f"DL{self.id.hex[:8]}{number:04}".upper() for number in range(first, self._registered)]
        return [self._put(f"/vehicles/{number}", body) for number in numbers]

    def drivers(self, many: int) -> list[bytes]:
        """Return requests that register `many` new drivers."""
        body = {"name": "A driver", "phone": "+91 98100 00000"}
        return [self._put(f"/drivers/{uuid4()}", body) for _ in range(many)]

    def add(self, vehicles: Sequence[Answer], drivers: Sequence[Answer]) -> None:
        """Add the trucks that were registered: each has a vehicle and a driver from the responses to the registrations."""
        for vehicle, driver in zip(vehicles, drivers, strict=True):
            self._free.append({"vehicleId": vehicle.json()["id"], "driverId": driver.json()["id"]})

    def availability(self, *, wanted: bool) -> bytes:
        return self._put("/transporter/availability", {"isAvailable": wanted})

    def heartbeat(self) -> bytes:
        place = {"latitude": PICKUP["latitude"], "longitude": PICKUP["longitude"]}
        return request("POST", "/transporter/heartbeat", Role.TRANSPORTER, self.id, place)

    def get(self, path: str) -> bytes:
        return request("GET", path, Role.TRANSPORTER, self.id)

    def accept(self, booking: str) -> bytes:
        """Return a request that accepts this booking with the next truck."""
        path, truck = f"/broadcasts/{booking}/accept", self._free.popleft()
        return request("POST", path, Role.TRANSPORTER, self.id, truck, wait=WAIT_SECONDS, key=True)

    def _put(self, path: str, body: Mapping[str, object]) -> bytes:
        return request("PUT", path, Role.TRANSPORTER, self.id, body, wait=WAIT_SECONDS)


def _prepare(run: Run, fleets: Sequence[Fleet], trucks: int) -> None:
    """Register `trucks` vehicles and drivers for each fleet, and make the fleets available."""
    for fleet in fleets:
        fleet.add(_send(run, fleet.vehicles(trucks)), _send(run, fleet.drivers(trucks)))
    _send(run, [fleet.availability(wanted=True) for fleet in fleets])
    _send(run, [fleet.heartbeat() for fleet in fleets])


def _send(run: Run, requests: Sequence[bytes]) -> list[Answer]:
    """Send requests without measuring them, and return the responses."""
    answers = closed_loop(run.system.port, requests, clients=8)
    refused = [answer for answer in answers if answer.status not in (200, 201, 204)]
    assert not refused, refused[0]
    return answers


def _bookings(kind: tuple[str, str], many: int) -> list[bytes]:
    """Return `many` requests that book one truck.

    Each is from a new customer, because a customer may have only one open booking.
    """
    body = {**BOOKING, "vehicleType": kind[0], "vehicleSubtype": kind[1]}
    return [
        request("POST", "/bookings", Role.CUSTOMER, uuid4(), body, wait=WAIT_SECONDS, key=True)
        for _ in range(many)
    ]


def _accepts(created: Sequence[Answer], fleets: Sequence[Fleet]) -> list[bytes]:
    """Return one request per booking that accepts it. The fleets take turns."""
    return [fleet.accept(answer.json()["id"]) for answer, fleet in zip(created, cycle(fleets), strict=False)]


def _difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {kind: seconds - before.get(kind, 0.0) for kind, seconds in after.items()}


@contextmanager
def _receiving(system: System, fleet: Fleet) -> Iterator[None]:
    """Receive and discard this fleet's frames, and answer pings, while the block runs."""
    phone, over = BareSocket(system, Role.TRANSPORTER, fleet.id), threading.Event()
    phone.socket.settimeout(0.5)

    def receive() -> None:
        while not over.is_set():
            with suppress(WebSocketTimeoutException):
                phone.socket.recv()

    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(receive)
        try:
            yield
        finally:
            over.set()
    receiving.result()  # this raises an error if the server has closed the connection
    phone.close()
