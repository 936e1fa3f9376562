"""Batched commands wake no worker. Beat executes them together, and the sweep executes those that a batch leaves."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from tests.support.wakers import RecordingWaker
from tests.support.world import World
from weelo_workers import presence
from weelo_workers.contracts.fleet import SetAvailability, SyncPresence
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.messaging import handlers
from weelo_workers.messaging.batches import execute_batches
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep
from weelo_workers.redis_client import redis

WAITING = "SELECT count(*) FROM mailbox WHERE name = 'fleet.sync_presence' AND settled_at IS NULL"


def online(world: World, fleets: int) -> set[UUID]:
    """Register this many fleets that want work, and delete them from presence. Return their ids."""
    user_ids = {world.fleet(1, km_north=1.0).id for _ in range(fleets)}
    redis().flushdb()
    for each in user_ids:
        command = SetAvailability(transporter_id=each, is_available=True)
        world.execute(command, each, Role.TRANSPORTER)
    return user_ids


def heartbeats_reach(user_ids: set[UUID]) -> set[UUID]:
    """Send a heartbeat of each fleet, and return the fleets that are found in presence."""
    at = presence.Point(28.6315, 77.2167)
    for each in user_ids:
        presence.heartbeat(each, at, any_distance=True)
    return set(presence.search(["open:17ft"], at, Reach.within(10)).near) & user_ids


def test_a_batch_updates_presence_of_all_fleets_by_one_transaction(world: World) -> None:
    user_ids = online(world, 5)
    redis().flushdb()
    assert heartbeats_reach(user_ids) == set()
    assert execute_batches(world.engine) >= 5
    assert world.value(WAITING) == 0
    assert heartbeats_reach(user_ids) == user_ids
    assert execute_batches(world.engine) == 0


def test_presence_is_right_after_the_commit_without_a_batch(world: World) -> None:
    user_ids = online(world, 1)
    assert heartbeats_reach(user_ids) == user_ids
    assert world.value(WAITING) > 0, "the batch repeats it"


def test_a_batched_command_wakes_no_worker(world: World) -> None:
    user_ids, waker = uuid4(), RecordingWaker()
    command = world.post(
        SetAvailability(transporter_id=user_ids, is_available=True), user_ids, Role.TRANSPORTER
    )
    Bus(world.engine, waker).execute(command)
    assert world.value(WAITING) == 1
    assert "fleet.sync_presence" not in {each.name for each in waker.wake_ups}


def test_what_a_failing_batch_has_left_is_executed_by_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_ids = online(world, 2)
    redis().flushdb()

    def fail(commands: Sequence[SyncPresence], session: Session) -> None:
        raise ValueError("it does not work")

    monkeypatch.setitem(handlers._batch_handlers, SyncPresence.name, fail)
    waiting = world.value(WAITING)
    assert execute_batches(world.engine) == 0
    assert world.value(WAITING) == waiting, "a batch that fails settles none of them"
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE mailbox SET wake_at = clock_timestamp() WHERE settled_at IS NULL")
    sweep(world.bus, seconds=5)
    assert world.value(WAITING) == 0
    assert heartbeats_reach(user_ids) == user_ids
