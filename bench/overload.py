"""Five times as many requests as this machine can serve: their responses, and the latency of accepts meanwhile."""

from __future__ import annotations

import json
import re
import selectors
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from bench.figures import Figure, milliseconds
from tests.support.people import BOOKING, OPEN, Truck, book
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_client import NO_KEY
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres

# The flood does not request the kind of the accepted slots. A fleet gets at most twenty open offers, and the flood
# would use them up.
FLOODED = ("container", "20 Feet")
AUDIENCE = 10
AT_ONCE = 16
CAPACITY_SECONDS = 8.0
FLOOD_SECONDS = 15.0
TIMES = 5
TAPS = 40
TAP_EVERY_SECONDS = 0.35
MOST_LINES = 800


def overload(system: System, data: Path) -> list[Figure]:
    """Measure the responses to a flood of new bookings, and the latency of accepts meanwhile."""
    truck = Truck(system)
    audience = [Truck(system) for _ in range(AUDIENCE)]
    for each in audience:
        each.client.register_vehicle(f"HR{uuid4().hex[:8]}", *FLOODED)
    capacity = _capacity(system)
    calm = Tapping(system, truck)
    calm.go()
    flooded = Tapping(system, truck)
    tapping = threading.Thread(target=flooded.go)
    tapping.start()
    answers = _flood(system, capacity * TIMES)
    over = time.monotonic()
    recovered = _recovered(system) - over
    tapping.join()
    unsettled = "SELECT count(*) FROM mailbox WHERE queue = 'broadcasts' AND caller_id IS NOT NULL AND settled_at IS NULL"
    engine = connect(Postgres(data).url("weelo"))

    def left() -> int:
        with engine.connect() as connection:
            return int(connection.execute(text(unsettled)).scalar_one())

    eventually(lambda: left() == 0, within=60, every=0.2)
    settled = time.monotonic() - over
    engine.dispose()
    for each in (truck, *audience):
        each.available(False)
    statuses = ", ".join(f"{count:,} {status}" for status, count in sorted(answers.items()))
    return [
        Figure("bookings a second, created and answered, 16 at a time", f"{capacity:.0f}", ""),
        Figure(f"{TIMES} times as many for {FLOOD_SECONDS:.0f} s: answers", statuses, "202, 429, 503"),
        Figure("accept to outcome, calm / in the flood", f"{calm.figures()} / {flooded.figures()}", ""),
        Figure("a new booking is done within 1 s again, after the flood", f"{recovered:.1f} s", "10 s"),
        Figure("everything that was accepted is settled, after the flood", f"{settled:.1f} s", ""),
    ]


def _capacity(system: System) -> float:
    """Return how many bookings succeed per second if each request waits for its outcome."""
    waiting, done = selectors.DefaultSelector(), 0
    for _ in range(AT_ONCE):
        line = socket.create_connection(("127.0.0.1", system.port))
        line.sendall(_request(system, wait=True))
        waiting.register(line, selectors.EVENT_READ)
    until = time.monotonic() + CAPACITY_SECONDS
    while time.monotonic() < until:
        for key, _ in waiting.select(timeout=1):
            line = key.fileobj  # type: ignore[assignment]
            done += _answer(line).startswith(b"HTTP/1.1 201")
            line.sendall(_request(system, wait=True))
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return done / CAPACITY_SECONDS


def _answer(line: socket.socket) -> bytes:
    """Return one whole response, or b"" if the connection was closed."""
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer) < answer.index(b"\r\n\r\n") + 4 + _length(answer):
        try:
            received = line.recv(16_384)
        except ConnectionError:
            received = b""
        if not received:
            return b""
        answer += received
    return answer


def _length(answer: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
    return int(found[1]) if found else 0


def _flood(system: System, per_second: float) -> Counter[str]:
    """Send requests at a fixed rate, whether earlier ones have been answered or not, and count the statuses."""
    requests = deque(_request(system, wait=False) for _ in range(int(per_second * FLOOD_SECONDS)))
    waiting, free, answers = selectors.DefaultSelector(), deque[socket.socket](), Counter[str]()
    began, sent, busy = time.monotonic(), 0, 0

    def read(seconds: float) -> Iterator[socket.socket]:
        for key, _ in waiting.select(timeout=seconds):
            line: socket.socket = key.fileobj  # type: ignore[assignment]
            answer = _answer(line)
            answers[answer[9:12].decode() or "cut off"] += 1
            if answer and b"onnection: close" not in answer:
                yield line
            else:
                waiting.unregister(line)
                line.close()

    while requests or busy:
        due = min(len(requests), int((time.monotonic() - began) * per_second) - sent)
        for _ in range(due):
            if not free and busy >= MOST_LINES:
                break
            if not free:
                line = socket.create_connection(("127.0.0.1", system.port))
                waiting.register(line, selectors.EVENT_READ)
                free.append(line)
            free.popleft().sendall(requests.popleft())
            sent, busy = sent + 1, busy + 1
        before = sum(answers.values())
        free.extend(read(0.002))
        busy -= sum(answers.values()) - before
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return answers


class Tapping:
    """Accepts the slots of an open booking one after the other, each with a different truck."""

    def __init__(self, system: System, truck: Truck) -> None:
        self.truck, self.taken = truck, list[float]()
        self.fleet: list[tuple[str, str]] = []
        for _ in range(TAPS):
            driver, plate = uuid4(), f"DL1{uuid4().hex[:8].upper()}"
            vehicle = truck.client.register_vehicle(plate, *OPEN)
            truck.client.register_driver(str(driver), "A driver", "+91 98100 00000")
            self.fleet.append((vehicle["id"], str(driver)))
        self.customer = system.client(Role.CUSTOMER, uuid4())
        self.booking = book(self.customer, trucks=TAPS)["id"]
        eventually(self._offered, within=10)

    def _offered(self) -> bool:
        return any(offer["broadcastId"] == self.booking for offer in self.truck.client.offers())

    def go(self) -> None:
        for vehicle, driver in self.fleet:
            began = time.monotonic()
            self.truck.client.accept(self.booking, vehicle, driver, key=NO_KEY)
            self.taken.append(time.monotonic() - began)
            time.sleep(max(0.0, TAP_EVERY_SECONDS - self.taken[-1]))
        self.customer.cancel_booking(self.booking)

    def figures(self) -> str:
        return milliseconds(self.taken, 0.5, 0.95)


def _recovered(system: System) -> float:
    """Wait until a new booking is executed within a second again, and return the time (monotonic)."""

    asks = system.http(Role.CUSTOMER, uuid4())

    def quick() -> bool:
        began = time.monotonic()
        answer = asks.post("/bookings", json=BOOKING, headers={"Prefer": "wait=1"})
        # A new customer each time, because a customer may have only one open booking.
        asks.headers["Authorization"] = f"Bearer {token(Role.CUSTOMER, uuid4())}"
        return answer.status_code == 201 and time.monotonic() - began < 1

    eventually(quick, within=60, every=0.1)
    return time.monotonic()


def _request(system: System, *, wait: bool) -> bytes:
    body = json.dumps({**BOOKING, "vehicleType": FLOODED[0], "vehicleSubtype": FLOODED[1]})
    return (
        f"POST /api/v1/bookings HTTP/1.1\r\nHost: 127.0.0.1:{system.port}\r\n"
        f"Authorization: Bearer {token(Role.CUSTOMER, uuid4())}\r\nContent-Type: application/json\r\n"
        f"{'Prefer: wait=20' + chr(13) + chr(10) if wait else ''}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
