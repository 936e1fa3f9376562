"""Transporters with one truck each, and their lists of open offers, built from received frames alone."""

from __future__ import annotations

import json
import random
import socket
from collections import defaultdict
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from tests.faults.crowd.phone import Phone
from tests.faults.heard_log import HeardLog, Line
from weelo_client import Channel, WeeloClient

WITHDRAWALS = {
    "fully_filled": "booking_fully_filled",
    "cancelled": "booking_cancelled",
    "expired": "booking_expired",
}


class Cards(HeardLog):
    """A log of received lines that also derives the list of open offers from them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[str] = set()
        self.withdrawn: dict[str, list[str]] = defaultdict(list)
        self._announced: set[str] = set()

    def add(self, seq: int, line: Line) -> bool:
        if new := super().add(seq, line):
            self._follow(line.event, json.loads(line.data))
        return new

    def _follow(self, event: str, data: dict[str, Any]) -> None:
        if event == "new_broadcast":
            broadcast = data["broadcastId"]
            # In this test each request is announced to a listener only once: no driver declines, and the time to answer
            # is a day, so no slot is reopened.
            if broadcast in self._announced or broadcast in self.withdrawn:
                self.wrong.append(f"{broadcast} was announced again, or after its end")
            self._announced.add(broadcast)
            self.open.add(broadcast)
        elif event in WITHDRAWALS.values():
            self.withdrawn[data["broadcastId"]].append(event)
            self.open.discard(data["broadcastId"])
        elif (event, data.get("command"), data.get("status")) == (
            "command_settled",
            "offers.decline",
            "succeeded",
        ):
            self.open.discard(data["result"]["broadcastId"])


class Listener:
    """A transporter with one truck, within the rings or just outside. It uses a `Phone` or the reference client."""

    def __init__(self, client: WeeloClient, user_id: UUID, dice: random.Random) -> None:
        self.id, self.driver = user_id, uuid4()
        self.client = client
        self.cards = Cards()
        self.phone: Phone | None = None
        self.channel: Channel | None = None
        self.vehicle = ""
        self._latitude = 28.6 + dice.uniform(0.0, 0.7)  # 0.7 degrees are 78 km

    def sign_on(self) -> None:
        self.vehicle = self.client.register_vehicle(f"HR{self.id.hex[:8]}", "open", "17 Feet")["id"]
        self.client.register_driver(str(self.driver), "A driver", "+91 98100 00000")
        self.client.set_availability(True)
        self.client.heartbeat(self._latitude, 77.2)

    def listen(self) -> None:
        """Open a socket with the reference client."""
        self.channel = self.client.listen(after=0, remember=10, on_frame=self.cards.add_frame)

    def is_cut_off(self) -> None:
        """Shut the reference client's socket down, whatever the client is doing."""
        line = self.channel._socket if self.channel is not None else None
        with suppress(OSError, AttributeError):  # raised if the client has closed the socket
            line.sock.shutdown(socket.SHUT_RDWR)

    def accept(self, booking: str) -> object:
        return self.client.accept(booking, self.vehicle, str(self.driver))

    def log(self) -> list[Any]:
        """Return all lines of `GET /events`."""
        items: list[Any] = []
        while page := self.client.events(after=len(items), limit=500):
            items += page
        return items

    def listed(self) -> set[str]:
        """Return the broadcast ids of `GET /offers`."""
        return {offer["broadcastId"] for offer in self.client.offers()}
