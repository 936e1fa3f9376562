"""A flood of five times as many requests as this machine can serve: the responses, and the latency of accepts."""

from __future__ import annotations

import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from itertools import repeat
from uuid import uuid4

from sqlalchemy import func, select, text

from bench.figures import Figure, milliseconds
from bench.http import Connection, closed_loop, request
from bench.run import Run
from tests.support.people import BOOKING, OPEN, Truck, book
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_client import NO_KEY
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import MailboxRow
from weelo_workers.models.mailbox import due

# The flood requests this kind of truck. The transporter who accepts has another kind, so the flood causes no offers to
# that transporter.
FLOODED = ("container", "20 Feet")
AT_ONCE = 16
TIMES = 5
TAP_EVERY_SECONDS = 0.35
MOST_CONNECTIONS = 800

# Counts bookings that were both created and offered in a period. The booking whose slots are accepted during the flood
# was created earlier, so it is not counted.
OFFERED = text(
    "SELECT count(DISTINCT o.broadcast_id) FROM offers o JOIN broadcasts b ON b.id = o.broadcast_id"
    " WHERE b.created_at >= :began AND o.offered_at BETWEEN :began AND :ended"
)
DUE = select(func.count()).select_from(MailboxRow).where(due())


def overload(run: Run) -> list[Figure]:
    """Measure the responses to a flood of bookings, how many bookings are offered, and the latency of accepts."""
    system, taps, seconds = run.system, run.size(40, 3), run.size(60.0, 1.0)
    truck = Truck(system)
    audience = [Truck(system, kind=FLOODED) for _ in range(run.size(10, 2))]
    with (
        run.database() as engine,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):

        def clock() -> datetime:
            now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
            return now

        def offered_since(began: datetime) -> float:
            """Return how many bookings per second were created and offered since `began`."""
            ended = clock()
            offered = connection.execute(OFFERED, {"began": began, "ended": ended}).scalar_one()
            return float(offered) / (ended - began).total_seconds()

        def nothing_is_due() -> bool:
            return bool(connection.execute(DUE).scalar_one() == 0)

        began = clock()
        capacity = _capacity(system.port, run.size(8.0, 1.0))
        offered_at_capacity = offered_since(began)
        eventually(nothing_is_due, within=60, every=0.2)
        calm = Tapping(system, truck, taps)
        calm.go(TAP_EVERY_SECONDS)
        flooded = Tapping(system, truck, taps)
        tapping = threading.Thread(target=flooded.go, args=(seconds / taps,))
        tapping.start()
        began = clock()
        answers = _flood(system.port, capacity * TIMES, seconds)
        offered_in_flood = offered_since(began)
        over = time.monotonic()
        recovered = _recovered(system) - over
        tapping.join()
        eventually(nothing_is_due, within=120, every=0.2)
        settled = time.monotonic() - over
    for each in (truck, *audience):
        each.available(False)
    flood = f"{TIMES} times as many for {seconds:.0f} s"
    return [
        Figure(
            f"bookings per second, {AT_ONCE} at a time",
            {"answered": capacity, "offered": offered_at_capacity},
        ),
        Figure(f"{flood}: offered per second", {"": offered_in_flood}),
        Figure(
            f"{flood}: offered ÷ offered before", {"": offered_in_flood / offered_at_capacity}, goal="0.9"
        ),
        Figure(
            f"{flood}: statuses",
            {status: answers[status] for status in sorted(answers)},
            goal="202, 429, 503",
        ),
        Figure("accept to outcome, calm", milliseconds(calm.taken, 0.5, 0.95), "ms"),
        Figure(f"{flood}: accept to outcome", milliseconds(flooded.taken, 0.5, 0.95), "ms", "p95 500"),
        Figure("after the flood: a new booking is executed within 1 s again", {"": recovered}, "s", "10"),
        Figure("after the flood: everything that was accepted is settled", {"": settled}, "s"),
    ]


def _capacity(port: int, seconds: float) -> float:
    """Return how many bookings are created per second if each request waits for its outcome."""
    answers = closed_loop(port, (_request(wait=30) for _ in repeat(None)), AT_ONCE, seconds=seconds)
    return sum(answer.status == 201 for answer in answers) / seconds


def _flood(port: int, per_second: float, seconds: float) -> Counter[str]:
    """Send requests at a fixed rate, whether earlier ones have been answered or not, and count the statuses."""
    requests = deque(_request() for _ in range(int(per_second * seconds)))
    waiting, free, answers = selectors.DefaultSelector(), deque[Connection](), Counter[str]()
    began, sent, busy = time.monotonic(), 0, 0

    def read(timeout: float) -> Iterator[Connection]:
        for key, _ in waiting.select(timeout):
            connection: Connection = key.fileobj  # type: ignore[assignment]
            if (answer := connection.receive()) is None:
                continue
            answers[str(answer.status or "cut off")] += 1
            if answer.closes:
                waiting.unregister(connection)
                connection.close()
            else:
                yield connection

    while requests or busy:
        due_now = min(len(requests), int((time.monotonic() - began) * per_second) - sent)
        for _ in range(due_now):
            if not free and busy >= MOST_CONNECTIONS:
                break
            if not free:
                free.append(Connection(port))
                waiting.register(free[0], selectors.EVENT_READ)
            free.popleft().send(requests.popleft())
            sent, busy = sent + 1, busy + 1
        before = answers.total()
        free.extend(read(0.002))
        busy -= answers.total() - before
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return answers


class Tapping:
    """Accepts the slots of an open booking one after the other, each with a different truck."""

    def __init__(self, system: System, truck: Truck, taps: int) -> None:
        self.truck, self.taken = truck, list[float]()
        self.fleet: list[tuple[str, str]] = []
        for _ in range(taps):
            driver, plate = uuid4(), f"DL1{uuid4().hex[:8].upper()}"
            vehicle = truck.client.register_vehicle(plate, *OPEN)
            truck.client.register_driver(str(driver), "A driver", "+91 98100 00000")
            self.fleet.append((vehicle["id"], str(driver)))
        self.customer = system.client(Role.CUSTOMER, uuid4())
        self.booking = book(self.customer, trucks=taps)["id"]
        eventually(self._offered, within=10)

    def _offered(self) -> bool:
        return any(offer["broadcastId"] == self.booking for offer in self.truck.client.offers())

    def go(self, every: float) -> None:
        """Accept one slot per `every` seconds until all are accepted, and then cancel the booking."""
        for vehicle, driver in self.fleet:
            began = time.monotonic()
            self.truck.client.accept(self.booking, vehicle, driver, key=NO_KEY)
            self.taken.append(time.monotonic() - began)
            time.sleep(max(0.0, every - self.taken[-1]))
        self.customer.cancel_booking(self.booking)


def _recovered(system: System) -> float:
    """Wait until a new booking is executed within a second again, and return the time (monotonic)."""

    asks = system.http(Role.CUSTOMER, uuid4())

    def quick() -> bool:
        began = time.monotonic()
        answer = asks.post("/bookings", json=BOOKING, headers={"Prefer": "wait=1"})
        # Each request comes from a new customer, because a customer may have only one open booking.
        asks.headers["Authorization"] = f"Bearer {token(Role.CUSTOMER, uuid4())}"
        return answer.status_code == 201 and time.monotonic() - began < 1

    eventually(quick, within=60, every=0.1)
    return time.monotonic()


def _request(wait: int | None = None) -> bytes:
    body = {**BOOKING, **dict(zip(("vehicleType", "vehicleSubtype"), FLOODED, strict=True))}
    return request("POST", "/bookings", Role.CUSTOMER, uuid4(), body, wait=wait)
