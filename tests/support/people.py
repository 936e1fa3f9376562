"""Users of a running system, each with the reference client as their app."""

from __future__ import annotations

import json
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any
from uuid import UUID, uuid4

import websocket

from tests.support.system import System
from tests.support.tokens import token
from weelo_client import Frame, Place, Rejected, WeeloClient
from weelo_client.shapes import Accepted, Broadcast
from weelo_workers.contracts.statuses import Role

PICKUP: Place = {"latitude": 28.6, "longitude": 77.2, "address": "New Delhi"}
DROP: Place = {"latitude": 26.9, "longitude": 75.8, "address": "Jaipur"}
OPEN = ("open", "17 Feet")
UNAVAILABLE_KIND = ("bulker", "32 Ton")

BOOKING: dict[str, Any] = {
    "pickup": PICKUP,
    "drop": DROP,
    "vehicleType": OPEN[0],
    "vehicleSubtype": OPEN[1],
    "trucksNeeded": 1,
}
"""The request body that `book` sends."""

PATIENCE_SECONDS = 15.0


def book(customer: WeeloClient, kind: tuple[str, str] = OPEN, trucks: int = 1) -> Broadcast:
    return customer.create_booking(PICKUP, DROP, *kind, trucks_needed=trucks)


def refusal(act: Callable[[], object]) -> tuple[int, str]:
    """Return the status and code with which the API refuses this call. Raises AssertionError if it succeeds."""
    try:
        act()
    except Rejected as refused:
        return refused.status, refused.code
    raise AssertionError("the call was not refused")


class Truck:
    """A fleet of one truck, online near the pickup of BOOKING. It also receives other tests' requests for its kind."""

    def __init__(self, system: System, north: float = 0.01, kind: tuple[str, str] = OPEN) -> None:
        """Register the fleet and take it online. `north`: degrees of latitude (111 km each) north of the pickup."""
        self.id, self.driver = uuid4(), uuid4()
        self.client = system.client(Role.TRANSPORTER, self.id)
        self.vehicle = self.client.register_vehicle(f"HR{self.id.hex[:8]}", *kind)["id"]
        self.client.register_driver(str(self.driver), "Driver", "+91 98100 00000")
        self.available(True)
        self.client.heartbeat(PICKUP["latitude"] + north, PICKUP["longitude"])

    def available(self, wanted: bool) -> None:
        assert self.client.set_availability(wanted)["isAvailable"] is wanted

    def has_offer(self, broadcast: str) -> bool:
        """Return whether the fleet has an open offer of this broadcast."""
        return any(offer["broadcastId"] == broadcast for offer in self.client.offers())

    def accept(self, broadcast: str) -> Accepted:
        return self.client.accept(broadcast, self.vehicle, str(self.driver))


class Listener:
    """A user whose app is open. Its frames are read one by one, in order."""

    def __init__(self, client: WeeloClient, after: int | None = None) -> None:
        self.frames: list[Frame] = []
        """The frames read so far."""
        self._unread: SimpleQueue[Frame] = SimpleQueue()
        self.channel = client.listen(after=after, on_frame=self._unread.put)
        self.until("connected")

    def until(self, event: str, **data: Any) -> Frame:
        """Read until the next frame with this event and these data, and return it."""
        while True:
            try:
                frame = self._unread.get(timeout=PATIENCE_SECONDS)
            except Empty:
                received = [each.event for each in self.frames]
                raise AssertionError(f"{event} {data} was not received; received: {received}") from None
            self.frames.append(frame)
            if frame.matches(event, data):
                return frame

    def seqs(self) -> list[int]:
        """Return the seqs of the lines read so far."""
        return [frame.seq for frame in self.frames if frame.seq is not None]

    def close(self) -> None:
        self.channel.close()


class BareSocket:
    """A socket without the reference client: it resumes, acknowledges and reconnects only if the test does."""

    def __init__(self, system: System, role: Role, user_id: UUID) -> None:
        url = system.url.replace("http", "ws", 1) + "/api/v1/ws"
        self.socket = websocket.create_connection(
            url, header=[f"Authorization: Bearer {token(role, user_id)}"], timeout=PATIENCE_SECONDS
        )
        self.frames: list[dict[str, Any]] = []
        assert self.next()["event"] == "connected"

    def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.socket.recv())
        self.frames.append(frame)
        return frame

    def until(self, event: str, **data: Any) -> dict[str, Any]:
        while True:
            frame = self.next()
            if frame["event"] == event and data.items() <= frame["data"].items():
                return frame

    def say(self, **op: Any) -> None:
        self.socket.send(json.dumps(op))

    def close(self) -> None:
        self.socket.close()
