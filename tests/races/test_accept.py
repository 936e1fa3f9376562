"""Many want the same truck slot."""

from __future__ import annotations

from collections import Counter

from tests.world import World


def test_ACPT_01_exactly_one_of_sixty_acceptors_wins_and_every_loser_is_told_why(world: World) -> None:
    fleets = [world.fleet() for _ in range(60)]
    broadcast = world.broadcast(1)

    outcomes = world.race(*[lambda fleet=fleet: world.accept(fleet, broadcast) for fleet in fleets])

    told = Counter(o.error["code"] if o.error else "won" for o in outcomes)
    assert told == {"won": 1, "BROADCAST_FILLED": 59}
    assert world.live_assignments(broadcast) == 1
    assert world.status(broadcast) == "fully_filled"


def test_ACPT_05_fifty_racing_for_five_slots_fill_exactly_five_and_none_is_answered_503(world: World) -> None:
    fleets = [world.fleet() for _ in range(50)]
    broadcast = world.broadcast(5)

    outcomes = world.race(*[lambda fleet=fleet: world.accept(fleet, broadcast) for fleet in fleets])

    assert sum(o.status == "succeeded" for o in outcomes) == 5
    assert {o.http_status for o in outcomes} == {200, 409}
    assert world.live_assignments(broadcast) == 5
