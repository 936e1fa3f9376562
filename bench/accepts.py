"""From the tap on "accept" to the frame that says what became of it."""

from __future__ import annotations

import json
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

from bench.figures import Figure, milliseconds
from tests.people import BOOKING, Listener, Truck
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
    rounds = 5
    for _ in range(rounds):
        booking = asks.post("/bookings", json=BOOKING).json()["id"]
        for fleet in fleets:
            fleet.until("new_broadcast", broadcastId=booking)
        taken += _all_tap(system, trucks, fleets, booking)
        asks.put(f"/bookings/{booking}/cancel")
        for fleet in fleets:
            fleet.until("booking_cancelled", broadcastId=booking)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda truck: truck.available(False), trucks))
    for fleet in fleets:
        fleet.close()
    name = f"{RACERS}-way race, accept to command_settled frame, {rounds} rounds"
    return [Figure(name, milliseconds(taken, 0.5, 0.95), "p95 500 ms")]


def _all_tap(system: System, trucks: list[Truck], fleets: list[Listener], booking: str) -> list[float]:
    """Seconds from each tap to its frame. The taps are bytes made beforehand and the frames are read as they
    come, by one thread, so that measuring takes as little as can be of the two cores that are measured."""
    taps = [_request(system, truck, booking) for truck in trucks]
    waiting = selectors.DefaultSelector()
    lines = []
    for number, fleet in enumerate(fleets):
        waiting.register(fleet.socket.sock, selectors.EVENT_READ, number)
        lines.append(socket.create_connection(("127.0.0.1", system.port)))
    began, taken = [], {}
    for line, tap in zip(lines, taps, strict=True):
        began.append(time.monotonic())
        line.sendall(tap)
    while len(taken) < len(fleets):
        ready = waiting.select(timeout=30)
        now = time.monotonic()
        for key, _ in ready:
            if '"command_settled"' in fleets[key.data].socket.recv():
                taken[key.data] = now - began[key.data]
                waiting.unregister(key.fileobj)
    for line in lines:
        line.close()
    return list(taken.values())


def _request(system: System, truck: Truck, booking: str) -> bytes:
    body = json.dumps({"vehicleId": truck.vehicle, "driverId": str(truck.driver)})
    return (
        f"POST /api/v1/broadcasts/{booking}/accept HTTP/1.1\r\nHost: 127.0.0.1:{system.port}\r\n"
        f"Authorization: {truck.http.headers['authorization']}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _tap(truck: Truck, fleet: Listener, booking: str) -> float:
    """Seconds from sending the accept until its outcome is in the transporter's hands."""
    body = {"vehicleId": truck.vehicle, "driverId": str(truck.driver)}
    began = time.monotonic()
    accepted = truck.http.post(f"/broadcasts/{booking}/accept", json=body, headers={"Prefer": ""}).json()
    fleet.until("command_settled", commandId=accepted["commandId"])
    return time.monotonic() - began
