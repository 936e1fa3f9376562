"""`weelo doctor` reports broadcasts, holds and assignments that are open past their deadline."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.support.world import World
from weelo_workers.contracts.reasons import ProviderReason
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.trips import GiveBack
from weelo_workers.doctor.checks.invariants import INVARIANTS
from weelo_workers.queries.backlog import OVERDUE_SECONDS


def invariants(world: World) -> list[str]:
    with world.engine.connect() as connection:
        return [
            "invariant: " + invariant.finding.format(n=count)
            for invariant in INVARIANTS
            if (count := invariant.count(connection))
        ]


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

    past_its_end(OVERDUE_SECONDS - 1)
    assert invariants(world) == []
    past_its_end(OVERDUE_SECONDS + 1)
    assert invariants(world) == [finding]


def test_an_answered_assignment_has_no_deadline(world: World) -> None:
    fleet = world.fleet()
    broadcast = world.broadcast(2)
    world.accept(fleet, broadcast, partial=True)
    world.drivers_accept(broadcast)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE assignments SET expires_at = clock_timestamp() - interval '1 hour'"))
    assert invariants(world) == []


def test_WAYS_01_a_live_assignment_is_reported_if_neither_a_timer_nor_its_driver_can_move_it(
    world: World,
) -> None:
    finding = (
        "invariant: 1 live assignments without a timer whose driver has not answered or has left the fleet"
    )
    fleet, stranger = world.fleet(), world.fleet()
    broadcast = world.broadcast(1)
    world.accept(fleet, broadcast)
    assert invariants(world) == []
    _write(world, "DELETE FROM mailbox WHERE name = 'trips.expire_assignment'")
    assert invariants(world) == [finding]
    world.drivers_accept(broadcast)
    assert invariants(world) == []
    _write(world, "DELETE FROM mailbox WHERE name = 'trips.remind_to_start'")
    assert invariants(world) == []  # the driver can still act, so nothing is reported
    _write(world, f"UPDATE drivers SET transporter_id = '{stranger.id}' WHERE transporter_id = '{fleet.id}'")
    assert invariants(world) == [finding]


def test_WAYS_02_a_reopened_slot_whose_search_has_not_begun_is_reported(world: World) -> None:
    finding = "invariant: 1 reopened slots whose search has not begun"
    broadcast = world.on_the_way()
    [assignment] = world.assignments(broadcast)
    world.execute(
        GiveBack(
            assignment_id=assignment.id,
            user_id=assignment.driver_id,
            role=Role.DRIVER,
            reason_code=ProviderReason.BREAKDOWN,
        ),
        assignment.driver_id,
        Role.DRIVER,
    )
    assert invariants(world) == []
    reopened_at = f"clock_timestamp() - interval '{OVERDUE_SECONDS + 1} s'"
    for table in ("truck_requests", "broadcasts"):
        _write(world, f"UPDATE {table} SET state_changed_at = {reopened_at}")
    assert invariants(world) == [finding]
    world.drain()
    assert invariants(world) == []


def _write(world: World, statement: str) -> None:
    with world.engine.begin() as connection:
        connection.execute(text(statement))
