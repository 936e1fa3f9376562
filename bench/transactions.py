"""The cost of one command compared with the bare transactions that it needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import uuid4

from sqlalchemy import Engine, text

from bench.figures import Figure
from bench.run import Run


def transactions(run: Run) -> list[Figure]:
    """Measure commands per second through the bus in one process, and the same SQL statements without the bus."""
    from tests.support.world import World
    from weelo_workers.contracts.fleet import DriverDetails, RegisterDriver
    from weelo_workers.contracts.statuses import Role

    details, seconds = DriverDetails(name="A driver", phone="+91 98100 00000"), run.size(4.0, 0.3)
    with run.database() as engine:
        world = World(engine)

        def through_the_bus() -> None:
            user_id = uuid4()
            world.execute(
                RegisterDriver(transporter_id=user_id, driver_id=uuid4(), details=details),
                user_id,
                Role.TRANSPORTER,
            )

        bus, bare = _rate(seconds, through_the_bus), _rate(seconds, lambda: _bare(engine))
    name = "commands per second in one process"
    return [
        Figure(name, {"mailbox and bus": bus, "the same rows by hand": bare}),
        Figure(f"{name}: by hand ÷ bus", {"": bare / bus}),
    ]


def _rate(seconds: float, act: Callable[[], None]) -> float:
    act()
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        act()
        count += 1
    return count / seconds


def _bare(engine: Engine) -> None:
    """Insert a command. In a second transaction lock it, insert a driver and another command, and store its outcome."""
    command, driver, user_id = uuid4(), uuid4(), uuid4()
    row = {"id": command, "driver": driver, "who": user_id, "delivery": uuid4()}
    # No handler exists for these commands. They are due tomorrow, so that the sweep does not execute them.
    insert = "INSERT INTO mailbox (id, name, queue, payload, caller_id, due_at, wake_at) VALUES (:id, 'x', 'x', '{}', :who, now() + interval '1 day', now() + interval '1 day')"
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
