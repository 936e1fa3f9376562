"""A new broadcast passes over a transporter whose list of offers is full, while an accept is about to end one of these.

After the accept the list has room again, so the transporter gets the offer of the new broadcast.
"""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.changed_settings import with_settings
from tests.support.locks import wait_for_waiting
from tests.support.world import World
from weelo_workers.contracts.statuses import Role


def test_a_broadcast_that_finds_a_full_list_while_the_last_accept_waits_for_its_truck_is_offered_afterwards(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With `min_offers_per_step=0` the next step does not follow at once. So only the
    # backfill after the accept can offer the broadcast to the transporter whose list was full.
    with_settings(monkeypatch, max_open_offers=1, min_offers_per_step=0)
    winner, other = world.fleet(), world.fleet()
    first = world.broadcast(1)
    accept = world.post(world.accepting(winner, first), winner.id, Role.TRANSPORTER)
    accepting = threading.Thread(target=world.bus.execute, args=(accept,))
    with world.engine.begin() as connection:
        vehicle = winner.trucks[0].vehicle_id
        connection.execute(text("SELECT FROM vehicles WHERE id = :id FOR NO KEY UPDATE"), {"id": vehicle})
        accepting.start()
        wait_for_waiting(world, 1)
        second = UUID(world.book(uuid4()).result["id"])
    accepting.join(timeout=30)
    assert not accepting.is_alive()
    assert world.told_at(second) == {}
    world.drain()
    assert world.outcome(accept, winner.id).status == "succeeded"
    assert other.id in world.told_at(second)
