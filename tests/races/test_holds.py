"""Many transporters hold the same slots at the same time, and a hold is confirmed at the moment of its expiry."""

from __future__ import annotations

from collections import Counter
from functools import partial
from uuid import UUID

from tests.support.world import World
from weelo_workers.contracts.offers import ConfirmHold
from weelo_workers.contracts.statuses import Role


def test_twenty_holding_and_ten_accepting_share_five_slots(world: World) -> None:
    fleets = [world.fleet() for _ in range(30)]
    broadcast = world.broadcast(5)
    outcomes = world.race(
        *[lambda fleet=fleet: world.hold(fleet, broadcast) for fleet in fleets[:20]],
        *[lambda fleet=fleet: world.accept(fleet, broadcast) for fleet in fleets[20:]],
    )
    world.drain()
    settled = [world.outcome(o.command_id, f.id) for o, f in zip(outcomes, fleets, strict=True)]
    assert Counter(outcome.status for outcome in settled)["succeeded"] == 5
    slots = Counter(world.slots(broadcast))
    assert slots["held"] + slots["assigned"] == 5
    assert slots["assigned"] == world.live_assignments(broadcast)


def test_a_confirmation_against_the_end_of_the_hold_has_one_outcome(world: World) -> None:
    for _ in range(5):
        fleet = world.fleet()
        broadcast = world.broadcast(1)
        hold = UUID(world.hold(fleet, broadcast).result["holdId"])
        _ends_now(world, hold)
        confirming = ConfirmHold(hold_id=hold, transporter_id=fleet.id, trucks=tuple(fleet.trucks))
        command = world.post(confirming, fleet.id, Role.TRANSPORTER)
        timer = world.value("SELECT id FROM mailbox WHERE name = 'offers.expire_hold' AND settled_at IS NULL")
        world.race(partial(world.bus.execute, command), partial(world.bus.execute, timer))
        world.drain()
        outcome = world.outcome(command, fleet.id)
        won = outcome.status == "succeeded"
        assert won or outcome.error["code"] == "HOLD_EXPIRED"
        assert world.slots(broadcast) == (["assigned"] if won else ["searching"])
        assert world.live_assignments(broadcast) == int(won)
        assert len(world.events_of(fleet.id, "hold_expired")) == int(not won)
        world.cancel(broadcast)


def _ends_now(world: World, hold: UUID) -> None:
    """Make the hold and its timer due within the next milliseconds."""
    with world.engine.begin() as connection:
        soon = "clock_timestamp() + interval '8 ms'"
        connection.exec_driver_sql(f"UPDATE holds SET expires_at = {soon} WHERE id = '{hold}'")
        connection.exec_driver_sql(
            f"UPDATE mailbox SET due_at = {soon} WHERE name = 'offers.expire_hold' AND settled_at IS NULL"
        )
