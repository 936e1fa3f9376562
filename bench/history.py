"""The cost of a long history: the same commands on a database with a million finished broadcasts and on an empty one."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from bench import past
from bench.figures import Figure, milliseconds, percentile
from bench.run import Run
from bench.servers import own_database, use
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.offers import Truck
from weelo_workers.contracts.statuses import Role
from weelo_workers.runtime.embedded import Postgres

NO_REDIS = "redis://127.0.0.1:1/0"  # no server listens on this port, so connections are refused at once


def history(run: Run) -> list[Figure]:
    """Measure commands, reads and purging on a database with a million finished broadcasts and on an empty one."""
    broadcasts, warm_up, rounds = run.size(1_000_000, 2_000), run.size(20, 1), run.size(300, 3)
    # Redis is not used, because only PostgreSQL is measured. So there are no wake-ups and no presence.
    use(database_url=Postgres(run.data).url("weelo"), redis_url=NO_REDIS)
    logging.getLogger("weelo_workers").setLevel(logging.CRITICAL)
    began = time.monotonic()
    sides = {name: own_database(run.data, f"history_{name}") for name in ("without", "with")}
    for engine in sides.values():
        past.populate(engine)
    past.make_past(sides["with"], broadcasts)
    for engine in sides.values():
        past.settle_down(engine)
    loaded = time.monotonic() - began

    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    players = {name: Player(engine) for name, engine in sides.items()}
    for number in range(warm_up + rounds):
        for name in ("without", "with") if number % 2 else ("with", "without"):
            for act, seconds in players[name].round():
                if number >= warm_up:
                    took[act][name].append(seconds)

    figures = [
        Figure(
            f"{broadcasts:,} broadcasts", past.sizes(sides["with"]), table="the long history: GiB and rows"
        ),
        Figure(f"history of {broadcasts:,} broadcasts, loaded in", {"": loaded}, "s"),
    ]
    for act, by_side in took.items():
        without, with_past = (percentile(by_side[name], 0.5) * 1000 for name in ("without", "with"))
        figures += [
            Figure(f"{act}, median of {rounds}", {"without history": without, "with": with_past}, "ms"),
            Figure(f"{act}: with ÷ without", {"": with_past / without}, goal="1.1"),
        ]
    figures += _retention(sides["with"])
    for engine in sides.values():
        engine.dispose()
    return figures


class Player:
    """Runs bookings on one database, one after the other, and measures each command and read."""

    def __init__(self, engine: Engine) -> None:
        from tests.support.world import Fleet, World

        self.engine = engine
        self.world = World(engine)
        self.fleet = Fleet(past.BUSY_FLEET, [Truck(vehicle_id=past.BUSY_VEHICLE, driver_id=past.BUSY_DRIVER)])
        self.took: list[tuple[str, float]] = []

    def round(self) -> list[tuple[str, float]]:
        from weelo_workers.queries import backlog, broadcasts, fleets, log, offer_list

        self.took = []
        customer, fleet = past.BUSY_CUSTOMER, past.BUSY_FLEET
        created = self.timed("create_booking, with its first ring", lambda: self.world.book(customer))
        broadcast = UUID(created.result["id"])
        page = self.timed("GET /offers", self.read(offer_list.offers, fleet))
        assert [item["broadcastId"] for item in page.items] == [str(broadcast)]
        won = self.timed("accept", lambda: self.world.accept(self.fleet, broadcast))
        assert won.status == "succeeded", won.error
        self.timed("GET /broadcasts", self.read(broadcasts.history, customer))
        self.timed("GET /assignments", self.read(fleets.assignments, Caller(fleet, Role.TRANSPORTER)))
        newest = self.connected(lambda c: log.newest_seq(c, customer))
        self.timed(
            "GET /events, 5 lines",
            lambda: self.connected(lambda c: log.lines_after(c, customer, newest - 5, 100)),
        )
        self.timed("the sweep's query", self.sweep)
        self.timed("the backlog for /metrics", lambda: self.connected(backlog.by_queue))
        self.timed("cancel", lambda: self.world.cancel(broadcast))
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM mailbox WHERE settled_at IS NULL"))
        return self.took

    def timed(self, act: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        self.took.append((act, time.perf_counter() - began))
        return result

    def read(self, query: Callable[..., Any], user_id: object) -> Callable[[], Any]:
        from weelo_workers.queries.pages import PageRequest

        def run() -> Any:
            with Session(self.engine) as session:
                return query(session, user_id, PageRequest(20, None))

        return run

    def connected(self, act: Callable[[Any], Any]) -> Any:
        with self.engine.connect() as connection:
            return act(connection)

    def sweep(self) -> None:
        from weelo_workers.messaging.sweep import _TAKE_UP

        with self.engine.connect() as connection:
            connection.execute(_TAKE_UP, {"batch": 200, "fresh_timers_only": False}).all()
            connection.rollback()


def _retention(engine: Engine) -> list[Figure]:
    """Purge ten batches of each kind of rows that are older than their retention period, and measure each batch."""
    from weelo_workers.messaging import retention

    figures = []
    for kind in (*retention.AGING, retention.HISTORY):
        days = past.RETENTION_DAYS if kind is not retention.HISTORY else 30
        taken = []
        for _ in range(10):
            with engine.begin() as connection:
                began = time.perf_counter()
                connection.execute(kind.statement, {"days": days, "batch": kind.batch})
                taken.append(time.perf_counter() - began)
        values = {**milliseconds(taken, 0.5), "slowest of 10": max(taken) * 1000}
        figures.append(Figure(f"retention, a batch of {kind.batch} {kind.name}", values, "ms"))
    return figures
