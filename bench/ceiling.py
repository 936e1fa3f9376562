"""The cost of one command compared with the bare transactions that it needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, text

from bench.figures import Figure
from tests.support.system import System
from weelo_workers.models.engine import connect
from weelo_workers.runtime.embedded import Postgres

SECONDS = 4.0


def transactions(system: System, data: Path) -> list[Figure]:
    """Measure commands per second through the bus in one process, and the same SQL statements without the bus."""
    from tests.support.world import World
    from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver
    from weelo_workers.contracts.statuses import Role

    engine = connect(Postgres(data).url("weelo"))
    world = World(engine)
    details = DriverDetails(name="A driver", phone="+91 98100 00000")

    def through_the_bus() -> None:
        user_id = uuid4()
        world.execute(
            RegisterDriver(transporter_id=user_id, driver_id=uuid4(), details=details),
            user_id,
            Role.TRANSPORTER,
        )

    bus, bare = _rate(through_the_bus), _rate(lambda: _bare(engine))
    engine.dispose()
    return [
        Figure("commands a second through mailbox and bus, one process", f"{bus:.0f}"),
        Figure("the same rows written by hand, one process", f"{bare:.0f}"),
        Figure("ratio by hand / bus", f"{bare / bus:.1f}"),
    ]


def _rate(act: Callable[[], None]) -> float:
    act()
    until, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        act()
        count += 1
    return count / SECONDS


def _bare(engine: Engine) -> None:
    """Insert the command. In a second transaction lock it, change a row, insert the delivery and store the outcome."""
    command, driver, user_id = uuid4(), uuid4(), uuid4()
    row = {"id": command, "driver": driver, "who": user_id, "delivery": uuid4()}
    insert = "INSERT INTO mailbox (id, name, queue, payload, caller_id, due_at, wake_at) VALUES (:id, 'x', 'x', '{}', :who, now(), now() + interval '1 day')"
    with engine.begin() as connection:
        connection.execute(text(insert), row)
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM mailbox WHERE id = :id FOR UPDATE"), row)
        connection.execute(
            text(
                "INSERT INTO drivers (id, transporter_id, name, phone, created_at) VALUES (:driver, :who, 'A', '1', now())"
            ),
            row,
        )
        connection.execute(text(insert.replace(":id", ":delivery")), row)
        connection.execute(
            text("UPDATE mailbox SET settled_at = now(), status = 'succeeded' WHERE id = :id"), row
        )
    with engine.connect() as connection:
        connection.execute(text("SELECT * FROM mailbox WHERE id = :id"), row)
