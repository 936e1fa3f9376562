"""A fleet that goes online and offline is offered exactly the requests that arrive while it is online."""

from __future__ import annotations

import threading
import time
from uuid import UUID, uuid4

from tests.support.waiting import eventually
from tests.support.world import World


def test_PRES_01_toggling_a_hundred_times_never_offers_to_somebody_offline(world: World) -> None:
    steady, toggled = world.fleet(km_north=1), world.fleet(km_north=2)
    # (begin, end) of each interval offline. An interval begins when the fleet knows that it is offline, and ends before
    # it requests to go online again.
    offline: list[tuple[float, float]] = []
    asked: list[tuple[float, float, UUID]] = []
    over = threading.Event()

    def toggle() -> None:
        for number in range(100):
            with world.engine.begin() as connection:
                connection.exec_driver_sql("UPDATE transporters SET recent_changes = '{}'")
            world.set_availability(toggled, online=False)
            since = time.monotonic()
            world.heartbeat(toggled, 2)
            # The steady fleet needs heartbeats: on a slow machine the test takes longer than PRESENCE_TTL_SECONDS.
            world.heartbeat(steady, 1)
            if number % 10 == 0:
                # The fleet stays offline until at least one whole ring has been searched.
                rung = len(asked)
                eventually(lambda: len(asked) >= rung + 2, within=30)  # noqa: B023
            else:
                time.sleep(0.02)
            offline.append((since, time.monotonic()))
            world.set_availability(toggled, online=True)
            world.heartbeat(toggled, 2)
        over.set()

    def ask() -> None:
        rings = "SELECT id FROM mailbox WHERE name = 'broadcasts.widen' AND settled_at IS NULL"
        while not over.is_set():
            since = time.monotonic()
            broadcast = UUID(world.book(uuid4()).result["id"])
            for row in world.rows(rings):
                world.bus.execute(row.id)
            asked.append((since, time.monotonic(), broadcast))
            world.cancel(broadcast)

    world.race(toggle, ask)
    world.drain()

    hidden = 0
    for began, ended, broadcast in asked:
        offered = world.told_at(broadcast)
        assert steady.id in offered, "a fleet that is online throughout gets every offer"
        if any(since <= began and ended <= until for since, until in offline):
            assert toggled.id not in offered
            hidden += 1
    assert hidden >= 10, "too few requests were made while the fleet was offline"
