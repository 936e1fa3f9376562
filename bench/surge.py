"""The time from request to offer in one town while hundreds of requests are open in another and fleets come and go."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import uuid4

from bench.figures import Figure, milliseconds
from bench.run import Run
from tests.support.people import BareSocket
from tests.support.surge import TOWNS, TownTruck, book_near, surge as surge_of
from weelo_workers.contracts.statuses import Role


def surge(run: Run) -> list[Figure]:
    """Measure the time from request to offer in ten towns while 500 requests are open in Delhi.

    Each town has one transporter, which goes offline and online.
    """
    system, many, rounds = run.system, run.size(500, 20), run.size(5, 1)
    towns = list(TOWNS.values())[: run.size(10, 2)]
    taken = []
    with run.database() as database, surge_of(database, many), ThreadPoolExecutor(len(towns)) as pool:
        trucks = list(pool.map(lambda where: TownTruck(system, where), towns))
        sockets = [BareSocket(system, Role.TRANSPORTER, truck.id) for truck in trucks]
        for round_number in range(rounds):
            for number, (where, phone) in enumerate(zip(towns, sockets, strict=True)):
                moving: Future[None] | None = None
                if round_number < 3:  # the API allows only ten changes of availability in five minutes
                    other = trucks[(number + 1) % len(trucks)]
                    moving = pool.submit(other.comes_and_goes)
                customer = system.client(Role.CUSTOMER, uuid4())
                began = time.monotonic()
                booking = book_near(customer, where, 0.03)
                phone.until("new_broadcast", broadcastId=booking)
                taken.append(time.monotonic() - began)
                if moving is not None:
                    moving.result(timeout=60)
                customer.cancel_booking(booking)
        for truck, phone in zip(trucks, sockets, strict=True):
            truck.available(False)
            phone.close()
    name = f"request to offer in {len(towns)} towns, {many} open in another, {len(taken)} requests"
    return [Figure(name, milliseconds(taken, 0.5, 0.99), "ms", "p99 1,000")]
