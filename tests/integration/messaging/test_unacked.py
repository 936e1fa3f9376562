"""Messages that a killed worker had taken are deleted from the broker once their commands are settled."""

from __future__ import annotations

import subprocess
import sys
from uuid import UUID, uuid4

import pytest

from tests.support.world import World
from weelo_workers.contracts.queues import BROADCASTS
from weelo_workers.messaging.celery_waker import CeleryWaker
from weelo_workers.messaging.unacked import MESSAGES, TIMES, delete_settled_unacked
from weelo_workers.messaging.wakeup import WakeUp
from weelo_workers.redis_client import redis

DIES_WITH_A_MESSAGE = """
import os
from weelo_workers.app import app
with app.connection_for_read() as broker:
    channel = broker.channel()
    assert channel.basic_get("broadcasts"), "nothing had been rung for"
    os._exit(0)
"""


@pytest.fixture
def taken(world: World) -> tuple[World, UUID]:
    """Return the world and the id of a settled booking. Its message was taken by a process that was then killed."""
    outcome = world.book(uuid4())
    CeleryWaker().wake(WakeUp(outcome.command_id, "broadcasts.create_booking", BROADCASTS))
    subprocess.run([sys.executable, "-c", DIES_WITH_A_MESSAGE], check=True, timeout=60)
    assert redis().hlen(MESSAGES) == redis().zcard(TIMES) == 1
    return world, outcome.command_id


def test_TIMR_02_what_a_killed_worker_had_taken_is_forgotten_once_it_is_settled(
    taken: tuple[World, UUID],
) -> None:
    world, _ = taken
    world.drain()
    assert delete_settled_unacked(world.engine) == 1
    assert redis().hlen(MESSAGES) == redis().zcard(TIMES) == 0


def test_what_is_not_settled_stays_for_whoever_comes(taken: tuple[World, UUID]) -> None:
    world, command_id = taken
    with world.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE mailbox SET settled_at = NULL WHERE id = '{command_id}'")
    assert delete_settled_unacked(world.engine) == 0
    assert redis().hlen(MESSAGES) == 1


def test_what_is_no_ring_of_ours_is_left_alone(world: World) -> None:
    redis().hset(MESSAGES, mapping={"a": "no json", "b": '[{"body": "W10="}, "", "x"]', "c": "[]"})
    assert delete_settled_unacked(world.engine) == 0
    assert redis().hlen(MESSAGES) == 3
