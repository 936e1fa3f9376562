"""While hundreds of requests are open in one town, requests in other towns are offered as usual."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.support.people import Listener
from tests.support.surge import TOWNS, TownTruck, book_near, surge
from tests.support.system import System
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import connect

pytestmark = pytest.mark.xdist_group("system")

# WEELO_SURGE=500 uses all ten towns, as `python -m bench surge` does.
MANY = int(os.environ.get("WEELO_SURGE", "40"))


def test_RADI_01_a_surge_in_one_town_prevents_no_offer_in_another(system: System) -> None:
    towns = list(TOWNS.values())[: None if "WEELO_SURGE" in os.environ else 5]
    database = connect(system.environment["DATABASE_URL"])
    with surge(database, MANY), ThreadPoolExecutor(len(towns)) as pool:
        trucks = list(pool.map(lambda where: TownTruck(system, where), towns))
        listeners = [Listener(truck.client) for truck in trucks]
        moving = [pool.submit(truck.comes_and_goes) for truck in trucks]
        customers = [system.client(Role.CUSTOMER, uuid4()) for _ in trucks]
        bookings = [
            book_near(customer, where, 0.03) for customer, where in zip(customers, towns, strict=True)
        ]
        for listener, booking in zip(listeners, bookings, strict=True):
            listener.until("new_broadcast", broadcastId=booking)
        for each in moving:
            each.result(timeout=30)
        for truck, listener in zip(trucks, listeners, strict=True):
            truck.available(False)
            listener.close()
    database.dispose()
