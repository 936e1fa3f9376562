"""`weelo doctor` reports broadcasts, holds and assignments that are open past their deadline."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.support.world import World
from weelo_workers.queries import doctor


def invariants(world: World) -> list[str]:
    with world.engine.connect() as connection:
        return [line for line in doctor._database(connection) if line.startswith("invariant: ")]


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        ("broadcasts", "invariant: 1 broadcasts open past their deadline"),
        ("holds", "invariant: 1 holds open past their end"),
        ("assignments", "invariant: 1 assignments unanswered past their end"),
    ],
)
def test_rows_open_long_past_their_deadline_are_reported(world: World, table: str, finding: str) -> None:
    winner, holder = world.fleet(), world.fleet()
    broadcast = world.broadcast(3)
    assert world.accept(winner, broadcast, partial=True).status == "succeeded"
    assert world.hold(holder, broadcast).status == "succeeded"
    assert invariants(world) == []

    def past_its_end(seconds: int) -> None:
        with world.engine.begin() as connection:
            end = f"clock_timestamp() - interval '{seconds} s'"
            connection.execute(text(f"UPDATE {table} SET expires_at = {end}"))

    past_its_end(doctor.OVERDUE_SECONDS - 1)
    assert invariants(world) == []
    past_its_end(doctor.OVERDUE_SECONDS + 1)
    assert invariants(world) == [finding]


def test_an_answered_assignment_has_no_deadline(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast, partial=True)
    world.drivers_accept(broadcast)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE assignments SET expires_at = clock_timestamp() - interval '1 hour'"))
    assert invariants(world) == []
