"""The time from an accept to the frame with its outcome."""

from __future__ import annotations

import selectors
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import uuid4

from bench.figures import Figure, milliseconds
from bench.http import Connection, request
from bench.run import Run
from tests.support.people import BareSocket, Truck, book
from weelo_client import NO_KEY
from weelo_workers.contracts.statuses import Role


def idle(run: Run) -> list[Figure]:
    """Measure the time from an HTTP accept to its `command_settled` frame, one accept at a time."""
    system, rounds = run.system, run.size(100, 5)
    truck, customer = Truck(system), system.client(Role.CUSTOMER, uuid4())
    fleet = BareSocket(system, Role.TRANSPORTER, truck.id)
    tapped, settled = [], []
    for _ in range(rounds):
        booking = book(customer)["id"]
        fleet.until("new_broadcast", broadcastId=booking)
        began = time.time()
        outcome = _tap(truck, fleet, booking)
        heard = time.time()
        tapped.append(heard - began)
        # Both times are read from the clock of this machine. `settledAt` is read before the commit, so the difference
        # is slightly longer than the time from the commit to the frame.
        settled.append(heard - datetime.fromisoformat(outcome["settledAt"]).timestamp())
        customer.cancel_booking(booking)
        fleet.until("booking_cancelled", broadcastId=booking)
    fleet.close()
    truck.available(False)
    return [
        Figure(
            f"accept to command_settled frame, idle, {rounds} rounds",
            milliseconds(tapped, 0.5, 0.99),
            "ms",
            "p50 60, p99 250",
        ),
        Figure(
            "of that, from the accept's `settledAt` to its caller's frame",
            milliseconds(settled, 0.5, 0.99),
            "ms",
            "p99 50",
        ),
    ]


def race(run: Run) -> list[Figure]:
    """Measure the time from an accept to the frame with its outcome while 60 transporters accept the same slot at once."""
    system, racers, rounds = run.system, run.size(60, 5), run.size(5, 1)
    with ThreadPoolExecutor(16) as pool:
        trucks = list(pool.map(lambda _: Truck(system), range(racers)))
    fleets = [BareSocket(system, Role.TRANSPORTER, truck.id) for truck in trucks]
    customer = system.client(Role.CUSTOMER, uuid4())
    taken: list[float] = []
    for _ in range(rounds):
        booking = book(customer)["id"]
        for fleet in fleets:
            fleet.until("new_broadcast", broadcastId=booking)
        taken += _all_tap(system.port, trucks, fleets, booking)
        customer.cancel_booking(booking)
        for fleet in fleets:
            fleet.until("booking_cancelled", broadcastId=booking)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda truck: truck.available(False), trucks))
    for fleet in fleets:
        fleet.close()
    name = f"{racers}-way race, accept to command_settled frame, {rounds} rounds"
    return [Figure(name, milliseconds(taken, 0.5, 0.95), "ms", "p95 500")]


def _all_tap(port: int, trucks: list[Truck], fleets: list[BareSocket], booking: str) -> list[float]:
    """Send one accept per truck at once, and return the seconds from each accept to its frame.

    Requests are prepared as bytes, and one thread reads the frames, so that the client leaves as much processor time as
    possible to the measured system.
    """
    path = f"/broadcasts/{booking}/accept"
    bodies = [{"vehicleId": truck.vehicle, "driverId": str(truck.driver)} for truck in trucks]
    taps = [
        request("POST", path, Role.TRANSPORTER, truck.id, body)
        for truck, body in zip(trucks, bodies, strict=True)
    ]
    waiting = selectors.DefaultSelector()
    lines = []
    for number, fleet in enumerate(fleets):
        waiting.register(fleet.socket, selectors.EVENT_READ, number)
        lines.append(Connection(port))
    began: list[float] = []
    taken: dict[int, float] = {}
    for line, tap in zip(lines, taps, strict=True):
        began.append(time.monotonic())
        line.send(tap)
    while len(taken) < len(fleets):
        ready = waiting.select(timeout=30)
        assert ready, f"{len(fleets) - len(taken)} outcomes were not received within 30 s"
        now = time.monotonic()
        for key, _ in ready:
            if '"command_settled"' in fleets[key.data].socket.recv():
                taken[key.data] = now - began[key.data]
                waiting.unregister(key.fileobj)
    for line in lines:
        line.close()
    return list(taken.values())


def _tap(truck: Truck, fleet: BareSocket, booking: str) -> dict[str, Any]:
    """Accept by HTTP, and return the outcome from the transporter's `command_settled` frame."""
    body = {"vehicleId": truck.vehicle, "driverId": str(truck.driver)}
    path = f"/broadcasts/{booking}/accept"
    accepted = truck.client.command("POST", path, body, key=NO_KEY, wait=0)
    outcome: dict[str, Any] = fleet.until("command_settled", commandId=accepted.command_id)["data"]
    return outcome
