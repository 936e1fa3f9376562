"""Races of an erasure with commands that would store new data of the person end as if one had followed the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import text

from tests.personal.scene import Scene
from tests.support.waiting import eventually
from tests.support.world import World
from weelo_workers.contracts.statuses import Role

ROUNDS = 6


@pytest.mark.parametrize("role", ["transporter", "driver"])
def test_an_accept_and_an_erasure_at_the_same_time(world: World, role: str) -> None:
    """Either the accept succeeds and the erasure is rejected, or the person is erased and the accept is rejected."""
    for _ in range(ROUNDS):
        world.empty()
        scene = Scene(world)
        scene.prepare()
        scene.book()
        person = getattr(scene, role)
        row, accepted = world.race(partial(scene.erase, person.id), scene.accept)
        live = world.live_assignments(scene.broadcast)
        assert (row.status, accepted.status, live) in {
            ("rejected", "succeeded", 1),
            ("succeeded", "rejected", 0),
        }
        if row.status == "succeeded" and role == "driver":
            found = scene.dump()
            assert not [table for table, dumped in found.items() if person.word.lower() in dumped.lower()]


def test_a_booking_and_an_erasure_at_the_same_time(world: World) -> None:
    """The booking always succeeds. If the booking is executed first, its request is open, and the erasure is rejected."""
    for _ in range(ROUNDS):
        world.empty()
        scene = Scene(world)
        scene.prepare()
        row, booked = world.race(partial(scene.erase, scene.customer.id), scene.book)
        assert booked.status == "succeeded"
        [broadcast] = world.rows("SELECT * FROM broadcasts")
        if row.status == "succeeded":
            began = world.value("SELECT requested_at FROM erasures")
            assert broadcast.created_at > began
            assert broadcast.pickup["address"] == scene.customer.text("pickup")
        else:
            assert str(scene.broadcast) in row.error["detail"]


def test_two_erasures_of_one_person_at_the_same_time(world: World) -> None:
    scene = Scene(world).play()
    first, second = world.race(lambda: scene.erase(scene.customer.id), lambda: scene.erase(scene.customer.id))
    assert first.status == second.status == "succeeded"
    assert scene.customer.word.lower() not in str(scene.dump()).lower()


@pytest.mark.long
def test_erasures_of_all_parties_at_the_same_time(world: World) -> None:
    scene = Scene(world).play()
    rows = world.race(*(partial(scene.erase, person.id) for person in scene.people))
    assert {row.status for row in rows} == {"succeeded"}
    dumped = str(scene.dump()).lower()
    assert not [person.word for person in scene.people if person.word.lower() in dumped]


@pytest.mark.parametrize("begun", [False, True], ids=["to begin", "to replace"])
def test_an_erasure_locks_a_driver_after_the_vehicles_as_an_accept_does(world: World, begun: bool) -> None:
    """With another order, an erasure of an owner who also drives could deadlock with an accept, which costs a second."""
    scene = Scene(world)
    scene.driver = replace(scene.transporter, role=Role.DRIVER)
    scene.prepare()
    command = scene.send_erase(scene.driver.id)
    if begun:
        with world.engine.begin() as connection:
            insert = "INSERT INTO erasures (command_id, person_id, requested_at, part) VALUES (:id, :person, now(), 'users')"
            connection.execute(text(insert), {"id": command, "person": scene.driver.id})
    lock = "SELECT id FROM {} WHERE id = :id FOR UPDATE NOWAIT"
    with world.engine.connect() as accept, ThreadPoolExecutor(1) as pool:
        accept.execute(text(lock.format("vehicles")), {"id": scene.vehicle})
        erasing = pool.submit(world.bus.execute, command)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        eventually(lambda: world.value(waits))
        try:
            accept.execute(text(lock.format("drivers")), {"id": scene.driver.id})
        finally:
            accept.rollback()
        assert erasing.result()
