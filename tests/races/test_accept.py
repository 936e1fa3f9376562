"""Many transporters accept the same slots at the same time."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from tests.support.world import Fleet, World
from weelo_workers.contracts.outcomes import CommandOutcome


def all_accept(world: World, fleets: list[Fleet], broadcast: UUID) -> list[CommandOutcome]:
    """Accept with all fleets at the same time. Under SERIALIZABLE some commands run out of retries; `drain` executes them."""
    outcomes = world.race(*[lambda fleet=fleet: world.accept(fleet, broadcast) for fleet in fleets])
    world.drain()
    return [
        world.outcome(outcome.command_id, fleet.id) for outcome, fleet in zip(outcomes, fleets, strict=True)
    ]


def test_ACPT_01_exactly_one_of_sixty_acceptors_wins_and_every_loser_is_told_why(world: World) -> None:
    fleets = [world.fleet() for _ in range(60)]
    broadcast = world.broadcast(1)

    outcomes = all_accept(world, fleets, broadcast)

    outcomes_by_code = Counter(o.error["code"] if o.error else "won" for o in outcomes)
    assert outcomes_by_code == {"won": 1, "BROADCAST_FILLED": 59}
    assert world.live_assignments(broadcast) == 1
    assert world.status(broadcast) == "fully_filled"


def test_ACPT_05_fifty_racing_for_five_slots_fill_exactly_five_and_none_is_answered_503(world: World) -> None:
    fleets = [world.fleet() for _ in range(50)]
    broadcast = world.broadcast(5)

    outcomes = all_accept(world, fleets, broadcast)

    assert sum(o.status == "succeeded" for o in outcomes) == 5
    assert {o.http_status for o in outcomes} == {200, 409}
    assert world.live_assignments(broadcast) == 5


def test_ACPT_03_under_the_row_lock_no_command_is_retried(world: World) -> None:
    """With READ COMMITTED and the row lock on the broadcast, every command is settled by its first execution."""
    with world.bus.engine.connect() as connection:
        level = connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
    if level != "read committed":
        return
    fleets = [world.fleet() for _ in range(30)]
    broadcast = world.broadcast(3)
    outcomes = world.race(*[lambda fleet=fleet: world.accept(fleet, broadcast) for fleet in fleets])
    assert Counter(o.status for o in outcomes) == {"succeeded": 3, "rejected": 27}
