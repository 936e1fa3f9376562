"""The cost of a long history: the same commands on a database with a million finished broadcasts and on an empty one."""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from bench import past
from bench.figures import Figure, percentile
from tests.support.system import System
from weelo_workers import redis_client, settings as settings_module
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import engine as engines
from weelo_workers.runtime.embedded import Postgres

BROADCASTS = int(os.environ.get("BROADCASTS", "1000000"))
ROUNDS = int(os.environ.get("ROUNDS", "300"))
WARM_UP = 20
GOAL = "within 10 %"

WAITING = "SELECT id FROM mailbox WHERE settled_at IS NULL AND name = :name AND due_at <= clock_timestamp() ORDER BY position"


def history(system: System, data: Path) -> list[Figure]:
    """Measure commands, reads and purging on a database with a million finished broadcasts and on an empty one."""
    # There are no wake-ups and no presence, because only PostgreSQL is measured. REDIS_URL names a port on which no
    # server listens, so connections are refused at once.
    os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"
    redis_client.redis.cache_clear()
    logging.getLogger("weelo_workers").setLevel(logging.CRITICAL)
    began = time.monotonic()
    sides = {name: _database(data, f"history_{name}") for name in ("without", "with")}
    for engine in sides.values():
        past.populate(engine)
    past.make_past(sides["with"], BROADCASTS)
    for engine in sides.values():
        past.settle_down(engine)
    loaded = f"{past.sizes(sides['with'])} (loaded in {time.monotonic() - began:.0f} s)"

    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    players = {name: Player(engine) for name, engine in sides.items()}
    for number in range(WARM_UP + ROUNDS):
        for name in ("without", "with") if number % 2 else ("with", "without"):
            for act, seconds in players[name].round():
                if number >= WARM_UP:
                    took[act][name].append(seconds)

    figures = [Figure(f"the past: {BROADCASTS:,} broadcasts", loaded)]
    for act, by_side in took.items():
        without, with_past = (percentile(by_side[name], 0.5) * 1000 for name in ("without", "with"))
        figures.append(
            Figure(
                f"{act}, without / with the past, median of {ROUNDS}",
                f"{without:.2f} / {with_past:.2f} ms, {with_past / without - 1:+.0%}",
                GOAL,
            )
        )
    figures += _retention(sides["with"])
    for engine in sides.values():
        engine.dispose()
    return figures


def _database(data: Path, name: str) -> Engine:
    os.environ["DATABASE_URL"] = Postgres(data).create_database(name)
    settings_module.settings.cache_clear()
    engines.drop_inherited_connections()
    from weelo_workers.models.migrate import upgrade_to_head

    upgrade_to_head()
    return engines.connect(os.environ["DATABASE_URL"])


class Player:
    """Runs bookings on one database, one after the other, and measures each command and read."""

    def __init__(self, engine: Engine) -> None:
        from tests.support.world import Fleet, Truck, World

        self.engine = engine
        self.world = World(engine)
        self.fleet = Fleet(past.BUSY_FLEET, [Truck(vehicle_id=past.BUSY_VEHICLE, driver_id=past.BUSY_DRIVER)])
        self.took: list[tuple[str, float]] = []

    def round(self) -> list[tuple[str, float]]:
        from weelo_workers.queries import backlog, broadcasts, fleets, log

        self.took = []
        customer, fleet = past.BUSY_CUSTOMER, past.BUSY_FLEET
        created = self.timed("create_booking", lambda: self.world.book(customer))
        broadcast = UUID(created.result["id"])
        self.timed("a radius ring (matching in PostgreSQL)", lambda: self.execute("broadcasts.widen"))
        self.timed("delivery of a ring's events", lambda: self.execute("notifications.deliver"))
        page = self.timed("GET /offers", self.read(broadcasts.offers, fleet))
        assert [item["broadcastId"] for item in page.items] == [str(broadcast)]
        won = self.timed("accept", lambda: self.world.accept(self.fleet, broadcast))
        assert won.status == "succeeded", won.error
        self.timed("delivery of an accept's events", lambda: self.execute("notifications.deliver"))
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
        self.execute("notifications.deliver")
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM mailbox WHERE settled_at IS NULL"))
        return self.took

    def timed(self, act: str, run: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = run()
        self.took.append((act, time.perf_counter() - began))
        return result

    def execute(self, name: str) -> None:
        with self.engine.connect() as connection:
            waiting = connection.execute(text(WAITING), {"name": name}).scalars().all()
        assert waiting, name
        for command_id in waiting:
            self.world.bus.execute(command_id)

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
    """Purge batches of each kind of row older than the retention."""
    from weelo_workers.messaging import retention

    figures = []
    for kind in (*retention.AGING, retention.HISTORY):
        days = past.RETENTION_DAYS if kind is not retention.HISTORY else 30
        taken, deleted = [], 0
        for _ in range(10):
            with engine.begin() as connection:
                began = time.perf_counter()
                deleted += connection.execute(kind.statement, {"days": days, "batch": kind.batch}).rowcount
                taken.append(time.perf_counter() - began)
        figures.append(
            Figure(
                f"retention, a batch of {kind.batch} {kind.name}",
                f"p50 {percentile(taken, 0.5) * 1000:.0f}, slowest of 10 {max(taken) * 1000:.0f} ms ({deleted} rows)",
            )
        )
    return figures
