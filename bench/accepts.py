"""From the tap on "accept" to the frame that says what became of it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from bench.figures import Figure, milliseconds
from tests.journeys.test_bad_input import BOOKING
from tests.journeys.test_life_of_a_booking import Listener, Truck
from tests.system import System
from weelo_workers.contracts.statuses import Role

ROUNDS = 100
RACERS = 60


def idle(system: System, data: Path) -> list[Figure]:
    """HTTP accept to `command_settled` frame, one at a time."""
    truck, taken = Truck(system), []
    asks = system.http(Role.CUSTOMER, uuid4())
    fleet = Listener(system, Role.TRANSPORTER, truck.id)
    for _ in range(ROUNDS):
        booking = asks.post("/bookings", json=BOOKING).json()["id"]
        fleet.until("new_broadcast", broadcastId=booking)
        taken.append(_tap(truck, fleet, booking))
        asks.put(f"/bookings/{booking}/cancel")
        fleet.until("booking_cancelled", broadcastId=booking)
    fleet.close()
    truck.available(False)
    return [
        Figure(
            f"accept to command_settled frame, idle, {ROUNDS} rounds",
            milliseconds(taken, 0.5, 0.99),
            "p50 60, p99 250 ms",
        )
    ]


def race(system: System, data: Path) -> list[Figure]:
    """60 phones tap at once for one truck slot."""
    with ThreadPoolExecutor(16) as pool:
        trucks = list(pool.map(lambda _: Truck(system), range(RACERS)))
    fleets = [Listener(system, Role.TRANSPORTER, truck.id) for truck in trucks]
    asks = system.http(Role.CUSTOMER, uuid4())
    taken: list[float] = []
    rounds = 3
    for _ in range(rounds):
        booking = asks.post("/bookings", json=BOOKING).json()["id"]
        for fleet in fleets:
            fleet.until("new_broadcast", broadcastId=booking)
        line = threading.Barrier(RACERS)

        def run(number: int, booking: str = booking, line: threading.Barrier = line) -> float:
            line.wait(timeout=30)
            return _tap(trucks[number], fleets[number], booking)

        with ThreadPoolExecutor(RACERS) as pool:
            taken += pool.map(run, range(RACERS))
        asks.put(f"/bookings/{booking}/cancel")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda truck: truck.available(False), trucks))
    for fleet in fleets:
        fleet.close()
    return [
        Figure(
            f"{RACERS}-way race, accept to command_settled frame, {rounds} rounds",
            milliseconds(taken, 0.5, 0.95),
            "p95 500 ms",
        )
    ]


def _tap(truck: Truck, fleet: Listener, booking: str) -> float:
    """Seconds from sending the accept until its outcome is in the transporter's hands."""
    body = {"vehicleId": truck.vehicle, "driverId": str(truck.driver)}
    began = time.monotonic()
    accepted = truck.http.post(f"/broadcasts/{booking}/accept", json=body, headers={"Prefer": ""}).json()
    fleet.until("command_settled", commandId=accepted["commandId"])
    return time.monotonic() - began
