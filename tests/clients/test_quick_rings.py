"""Fleets of a running system decline a request at the same time: the next ring follows at once, and only once.

The system of this folder has the default times: without the declines, the next ring follows after 15 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import pytest

from tests.support.people import Listener, Truck, book
from tests.support.system import System
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("system")

KIND = ("container", "20 Feet")
KM = 1 / 111.0
"""Degrees of latitude in a kilometre."""
NEAR, ANSWER_AFTER_SECONDS, WITHIN_SECONDS = 3, 2.0, 0.2


@dataclass(frozen=True)
class Town:
    """Fleets within 10 km of the pickup, and one fleet about 20 km away. Each app is open."""

    near: list[Truck]
    far: Truck
    listeners: list[Listener]


@pytest.fixture
def town(system: System) -> Iterator[Town]:
    near = [Truck(system, north=n * KM, kind=KIND) for n in range(1, NEAR + 1)]
    far = Truck(system, north=20 * KM, kind=KIND)
    listeners = [Listener(each.client) for each in (*near, far)]
    yield Town(near, far, listeners)
    for listener in listeners:
        listener.close()
    for each in (*near, far):
        each.available(False)


def test_RADI_01_all_decline_after_2_s_and_the_next_ring_follows_within_200_ms_once(
    system: System, town: Town
) -> None:
    # Up to three requests are measured, and one has to be quick: other programs on the machine can delay the others.
    quickest = min(_until_quick(_seconds_until_the_next_ring(system, town) for _ in range(3)))
    assert 0 <= quickest < WITHIN_SECONDS


def _until_quick(rounds: Iterator[float]) -> Iterator[float]:
    """Yield the measured seconds, up to the first that are below the limit."""
    for seconds in rounds:
        yield seconds
        if seconds < WITHIN_SECONDS:
            return


def _seconds_until_the_next_ring(system: System, town: Town) -> float:
    """Let all near fleets decline a request at the same time. Return the seconds from the last decline to the next ring."""
    customer = system.client(Role.CUSTOMER, uuid4())
    booking = book(customer, KIND)["id"]
    for listener in town.listeners[:-1]:
        listener.until("new_broadcast", broadcastId=booking)
    time.sleep(ANSWER_AFTER_SECONDS)
    with ThreadPoolExecutor(NEAR) as pool:
        list(pool.map(lambda each: each.client.decline(booking), town.near))
    offer = town.listeners[-1].until("new_broadcast", broadcastId=booking)
    assert offer.data["radiusStep"] == 2
    entries = system.client(Role.ADMIN, uuid4()).timeline(booking)
    declined = [each["at"] for each in entries if each["transition"] == "decline"]
    widened = [each["at"] for each in entries if each["transition"] == "widen_unfilled"]
    assert (len(declined), len(widened)) == (NEAR, 1)
    customer.cancel_booking(booking)
    later = datetime.fromisoformat(widened[0]) - datetime.fromisoformat(max(declined))
    return later.total_seconds()
