"""Batched commands wake no worker. Beat executes them in batches; the sweep executes those that no batch executed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.wakers import RecordingWaker
from tests.support.world import World
from weelo_workers import presence, presence_sync
from weelo_workers.contracts.fleet import SetAvailability, SyncPresence
from weelo_workers.contracts.statuses import Role
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.messaging import batches, handlers
from weelo_workers.messaging.batches import execute_batches
from weelo_workers.messaging.bus import Bus
from weelo_workers.messaging.sweep import sweep
from weelo_workers.queries.backlog import waits
from weelo_workers.redis_client import redis

WAITING = "SELECT count(*) FROM mailbox WHERE name = 'fleet.sync_presence' AND settled_at IS NULL"


def online(world: World, fleets: int) -> set[UUID]:
    """Return the ids of this many fleets that have just gone online. Presence has their trucks, but no position."""
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


def go_offline_with_a_lost_update(world: World, user_ids: set[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these fleets go offline, as if the worker had ended after its commit and before it updated presence."""
    monkeypatch.setattr(presence_sync, "_sync_now", lambda *_: None)
    for each in user_ids:
        world.execute(SetAvailability(transporter_id=each, is_available=False), each, Role.TRANSPORTER)


def test_batches_repeat_updates_of_presence_that_were_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_ids = online(world, 5)
    assert heartbeats_reach(user_ids) == user_ids
    go_offline_with_a_lost_update(world, user_ids, monkeypatch)
    assert heartbeats_reach(user_ids) == user_ids
    monkeypatch.setattr(batches, "BATCH", 2)
    assert execute_batches(world.engine) >= 5
    assert world.value(WAITING) == 0
    assert heartbeats_reach(user_ids) == set()
    assert execute_batches(world.engine) == 0


def test_a_late_batch_makes_nobody_online(world: World) -> None:
    """The fleet has sent no heartbeat since Redis was emptied. The batch must not write it to presence without one."""
    user_ids = online(world, 1)
    redis().flushdb()
    assert execute_batches(world.engine) >= 1
    assert (
        not presence.search(["open:17ft"], presence.Point(28.6315, 77.2167), Reach.everyone()).near.keys()
        & user_ids
    )


def test_batched_commands_do_not_count_as_a_busy_queue(world: World) -> None:
    """While beat is stopped, batched commands pile up. If they counted, the API would see an overload and refuse commands."""
    online(world, 1)
    with world.engine.connect() as connection:
        names = (
            connection.execute(text("SELECT DISTINCT name FROM mailbox WHERE settled_at IS NULL"))
            .scalars()
            .all()
        )
        assert "fleet.sync_presence" in names
        assert "fleet" not in waits(connection)


def test_presence_is_right_after_the_commit_without_a_batch(world: World) -> None:
    user_ids = online(world, 1)
    assert heartbeats_reach(user_ids) == user_ids
    assert world.value(WAITING) > 0, "the batch repeats it"


def test_a_batched_command_wakes_no_worker(world: World) -> None:
    transporter_id, waker = uuid4(), RecordingWaker()
    command = world.post(
        SetAvailability(transporter_id=transporter_id, is_available=True), transporter_id, Role.TRANSPORTER
    )
    Bus(world.engine, waker).execute(command)
    assert world.value(WAITING) == 1
    assert "fleet.sync_presence" not in {each.name for each in waker.wake_ups}


def test_what_a_failing_batch_has_left_is_executed_by_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_ids = online(world, 2)
    assert heartbeats_reach(user_ids) == user_ids
    go_offline_with_a_lost_update(world, user_ids, monkeypatch)

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
    assert heartbeats_reach(user_ids) == set()
