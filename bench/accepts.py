"""The time from an accept to the frame with its outcome."""

from __future__ import annotations

import json
import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.figures import Figure, milliseconds
from tests.support.people import BareSocket, Truck, book
from tests.support.system import System
from tests.support.tokens import token
from weelo_client import NO_KEY
from weelo_workers.contracts.statuses import Role

ROUNDS = 100
RACERS = 60


def idle(system: System, data: Path) -> list[Figure]:
    """Measure the time from an HTTP accept to its `command_settled` frame, one accept at a time."""
    truck, customer = Truck(system), system.client(Role.CUSTOMER, uuid4())
    fleet = BareSocket(system, Role.TRANSPORTER, truck.id)
    tapped, settled = [], []
    for _ in range(ROUNDS):
        booking = book(customer)["id"]
        fleet.until("new_broadcast", broadcastId=booking)
        began = time.time()
        outcome = _tap(truck, fleet, booking)
        received_at = time.time()
        tapped.append(received_at - began)
        # `settledAt` is from the same clock. It is read before the commit, so this figure is slightly too large.
        settled.append(received_at - datetime.fromisoformat(outcome["settledAt"]).timestamp())
        customer.cancel_booking(booking)
        fleet.until("booking_cancelled", broadcastId=booking)
    fleet.close()
    truck.available(False)
    return [
        Figure(
            f"accept to command_settled frame, idle, {ROUNDS} rounds",
            milliseconds(tapped, 0.5, 0.99),
            "p50 60, p99 250 ms",
        ),
        Figure(
            "of that, from the accept's `settledAt` to its caller's frame",
            milliseconds(settled, 0.5, 0.99),
            "p99 50 ms",
        ),
    ]


def race(system: System, data: Path) -> list[Figure]:
    """Measure the time from accept to frame while 60 transporters accept one slot at once."""
    with ThreadPoolExecutor(16) as pool:
        trucks = list(pool.map(lambda _: Truck(system), range(RACERS)))
    fleets = [BareSocket(system, Role.TRANSPORTER, truck.id) for truck in trucks]
    customer = system.client(Role.CUSTOMER, uuid4())
    taken: list[float] = []
    rounds = 5
    for _ in range(rounds):
        booking = book(customer)["id"]
        for fleet in fleets:
            fleet.until("new_broadcast", broadcastId=booking)
        taken += _all_tap(system, trucks, fleets, booking)
        customer.cancel_booking(booking)
        for fleet in fleets:
            fleet.until("booking_cancelled", broadcastId=booking)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda truck: truck.available(False), trucks))
    for fleet in fleets:
        fleet.close()
    name = f"{RACERS}-way race, accept to command_settled frame, {rounds} rounds"
    return [Figure(name, milliseconds(taken, 0.5, 0.95), "p95 500 ms")]


def _all_tap(system: System, trucks: list[Truck], fleets: list[BareSocket], booking: str) -> list[float]:
    """Return the seconds from each accept to its frame.

    Requests are prepared as bytes, and one thread reads the frames, so that the measurement takes as little as possible
    of the two cores that are measured.
    """
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
        f"Authorization: Bearer {token(Role.TRANSPORTER, truck.id)}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _tap(truck: Truck, fleet: BareSocket, booking: str) -> dict[str, Any]:
    """Accept by HTTP, and return the outcome from the transporter's `command_settled` frame."""
    body = {"vehicleId": truck.vehicle, "driverId": str(truck.driver)}
    path = f"/broadcasts/{booking}/accept"
    accepted = truck.client.command("POST", path, body, key=NO_KEY, wait=0)
    outcome: dict[str, Any] = fleet.until("command_settled", commandId=accepted.command_id)["data"]
    return outcome
