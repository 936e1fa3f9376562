"""Waits until transactions wait for locks, in tests with the fixture `world`."""

from __future__ import annotations

from tests.support.waiting import eventually
from tests.support.world import World

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


def wait_for_waiting(world: World, transactions: int) -> None:
    """Wait until at least this many transactions wait for a lock."""
    eventually(lambda: world.value(WAITING) >= transactions)
