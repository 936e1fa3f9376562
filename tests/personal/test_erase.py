"""After the erasure of a person, no table and no key of Redis has a personal value of theirs, and all else is unchanged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.personal.scene import CUSTOMER_AT, TRANSPORTER_AT, Person, Scene
from tests.support.message_checks import check_frame
from tests.support.world import World
from weelo_workers.contracts.fleet import DriverDetails, RegisterDevice, RegisterDriver
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import engine
from weelo_workers.notifications import live_stream
from weelo_workers.person import erase as erasing, redis_data, working
from weelo_workers.person.columns import TABLES
from weelo_workers.queries.log import lines_after
from weelo_workers.redis_client import redis


@pytest.fixture
def scene(world: World) -> Scene:
    return Scene(world).play()


def where(scene: Scene, *texts: str) -> dict[str, str]:
    """Return the tables (or `redis`) that contain one of these texts, each with a text that it contains. Case is ignored."""
    return {
        place: each
        for place, dumped in scene.dump().items()
        for each in texts
        if each.lower() in dumped.lower()
    }


ROLES = ("customer", "transporter", "driver")


def test_the_scene_has_every_kind_of_personal_value(scene: Scene) -> None:
    """The values have to be found before an erasure. Otherwise finding none afterwards would prove nothing."""
    stored = {"users", "devices", "webhooks", "mailbox", "events"}
    assert set(where(scene, scene.customer.word)) >= stored | {"broadcasts", "transitions", "redis"}
    assert set(where(scene, scene.transporter.word)) >= stored | {"vehicles", "assignments", "offers"}
    assert set(where(scene, scene.driver.word)) >= stored | {"drivers", "assignments"}
    assert where(scene, str(CUSTOMER_AT[0]))
    assert where(scene, str(TRANSPORTER_AT[0]))


@pytest.mark.parametrize("role", ROLES)
def test_no_text_of_an_erased_person_is_left(scene: Scene, role: str) -> None:
    person: Person = getattr(scene, role)
    assert scene.erase(person.id).status == "succeeded"
    assert where(scene, *person.secrets) == {}
    place = {"customer": CUSTOMER_AT, "transporter": TRANSPORTER_AT}.get(role, ())
    assert where(scene, *map(str, place)) == {}


@pytest.mark.parametrize("role", ROLES)
def test_the_data_of_the_others_stay(scene: Scene, role: str) -> None:
    scene.erase(getattr(scene, role).id)
    for person in scene.people:
        if person is not getattr(scene, role):
            assert set(where(scene, person.word)) >= {"users", "mailbox", "devices", "webhooks"}


def test_all_of_them_can_be_erased(scene: Scene) -> None:
    for person in scene.people:
        assert scene.erase(person.id).status == "succeeded"
    secrets = [secret for person in scene.people for secret in person.secrets]
    assert where(scene, *secrets, *map(str, (*CUSTOMER_AT, *TRANSPORTER_AT))) == {}


def kept(scene: Scene) -> dict[str, list[Any]]:
    """Return the rows of each table, each with only the columns that an erasure must not change."""
    rows = {}
    for table, rules in TABLES.items():
        if (
            table in ("mailbox", "erasures", "audit", "webhooks", "transporters", "drivers")
            or rules.rows_deleted
        ):
            # not comparable: an erasure adds or deletes rows here, or ends the person's availability
            continue
        columns = ", ".join(f'"{name}"' for name in sorted(rules.kept))
        rows[table] = sorted(scene.world.rows(f"SELECT {columns} FROM {table}"), key=repr)
    return rows


def test_ids_times_states_and_numbers_stay(scene: Scene) -> None:
    before = kept(scene)
    for person in scene.people:
        scene.erase(person.id)
    assert kept(scene) == before


def test_places_are_rounded_so_that_figures_by_area_stay_true(scene: Scene) -> None:
    scene.erase(scene.customer.id)
    [row] = scene.world.rows("SELECT * FROM broadcasts")
    assert row.pickup == {"latitude": 28.6, "longitude": 77.2, "address": "erased"}
    assert (row.distance_km, row.transporters_notified, row.trucks_needed) == (1412.5, 1, 1)
    [offer] = scene.world.events_of(scene.transporter.id, "new_broadcast")
    assert offer["pickup"] == row.pickup


@pytest.mark.parametrize("role", ROLES)
def test_logs_have_no_gap_and_their_frames_are_as_documented(scene: Scene, role: str) -> None:
    logs = {person.id: scene.world.events_of(person.id) for person in scene.people}
    scene.erase(getattr(scene, role).id)
    for person in scene.people:
        with engine().connect() as connection:
            frames = lines_after(connection, person.id, 0, 1_000)
        assert [each["seq"] for each in frames] == [each["seq"] for each in logs[person.id]]
        for frame in frames:
            check_frame(frame)


def test_distances_of_the_person_are_rounded_and_those_of_others_are_not(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    other = world.fleet(km_north=2.345)
    scene.book()
    scene.accept()
    scene.end()
    query = "SELECT transporter_id, distance_km FROM offers"
    lines = "SELECT user_id, (own->>'pickupDistanceKm')::float AS km FROM log_lines WHERE own ? 'pickupDistanceKm'"
    before = {row.transporter_id: row.distance_km for row in world.rows(query)}
    told = {row.user_id: row.km for row in world.rows(lines)}
    assert len(before) == len(told) == 2 and all(km % 1 for km in (*before.values(), *told.values()))
    scene.erase(scene.transporter.id)
    after = {row.transporter_id: row.distance_km for row in world.rows(query)}
    assert after == {other.id: before[other.id], scene.transporter.id: round(before[scene.transporter.id])}
    told_after = {row.user_id: row.km for row in world.rows(lines)}
    assert told_after == {other.id: told[other.id], scene.transporter.id: round(told[scene.transporter.id])}


def test_a_second_erasure_finds_nothing(scene: Scene) -> None:
    scene.erase(scene.customer.id)
    before = scene.dump()
    row = scene.erase(scene.customer.id)
    assert row.status == "succeeded"
    assert scene.world.value("SELECT changed FROM erasures WHERE command_id = :id", id=row.id) == {}
    after = scene.dump()
    for table in set(before) - {"mailbox", "erasures", "audit", "redis"}:
        assert after[table] == before[table]


def test_an_unknown_id_is_rejected(scene: Scene) -> None:
    row = scene.erase(uuid4())
    assert (row.status, row.error["code"]) == ("rejected", "NOT_FOUND")


def test_a_driver_who_is_a_transporter_too(world: World) -> None:
    scene = Scene(world)
    scene.driver = replace(scene.transporter, role=Role.DRIVER)
    scene.play()
    assert scene.erase(scene.driver.id).status == "succeeded"
    assert where(scene, *scene.driver.secrets) == {}
    [driver] = world.rows("SELECT * FROM drivers")
    assert (driver.name, driver.phone, driver.license_number) == ("erased", "0000000", None)


@pytest.mark.parametrize("step", ["open", "assigned"])
@pytest.mark.parametrize("role", ROLES)
def test_it_is_refused_while_something_is_under_way(world: World, role: str, step: str) -> None:
    scene = Scene(world)
    scene.prepare()
    scene.book()
    if step == "assigned":
        scene.accept()
    person = getattr(scene, role)
    row = scene.erase(person.id)
    if step == "open" and role != "customer":
        assert row.status == "succeeded"  # an open request prevents the erasure of its customer only
        return
    assert (row.status, row.error["code"]) == ("rejected", "INVALID_TRANSITION")
    thing = scene.broadcast if step == "open" else world.assignments(scene.broadcast)[0].id
    assert str(thing) in row.error["detail"]
    assert where(scene, person.word)
    assert world.value("SELECT count(*) FROM erasures") == 0


def test_after_it_a_transporter_gets_no_new_offers_and_a_driver_no_trips(world: World) -> None:
    scene = Scene(world)
    scene.prepare()
    for person in (scene.transporter, scene.driver):
        scene.erase(person.id)
    world.drain()
    scene.book()
    assert world.told_at(scene.broadcast) == {}
    assert world.value("SELECT is_available FROM drivers") is False
    assert world.value("SELECT count(*) FROM webhooks WHERE is_active") == 0


def test_a_waiting_command_of_the_person_is_executed_first(scene: Scene) -> None:
    command = RegisterDevice(user_id=scene.customer.id, token=scene.customer.text("late"), platform="ios")
    late = scene.world.post(command, scene.customer.id, Role.CUSTOMER)
    erase = scene.send_erase(scene.customer.id)
    scene.world.bus.execute(erase)
    assert scene.world.value("SELECT status FROM mailbox WHERE id = :id", id=erase) == "pending"
    scene.world.bus.execute(late)
    assert where(scene, "late of Zebulonia")
    scene.tick_until_erased(erase)
    assert where(scene, *scene.customer.secrets) == {}


def test_a_waiting_command_of_another_user_with_their_data_is_executed_first(scene: Scene) -> None:
    """The waiting command registers the driver, and contains their name and phone number."""
    details = DriverDetails(name=scene.driver.name, phone=scene.driver.phone)
    command = RegisterDriver(transporter_id=scene.transporter.id, driver_id=scene.driver.id, details=details)
    waiting = scene.world.post(command, scene.transporter.id, Role.TRANSPORTER)
    erase = scene.send_erase(scene.driver.id)
    scene.world.bus.execute(erase)
    scene.world.bus.execute(waiting)
    scene.tick_until_erased(erase)
    assert where(scene, *scene.driver.secrets) == {}


def test_a_parked_command_of_theirs_is_deleted(scene: Scene) -> None:
    command = RegisterDevice(user_id=scene.customer.id, token=scene.customer.text("stuck"), platform="ios")
    stuck = scene.world.post(command, scene.customer.id, Role.CUSTOMER)
    with scene.world.engine.begin() as connection:
        connection.execute(
            text("UPDATE mailbox SET attempts = 5, parked_at = clock_timestamp() WHERE id = :id"),
            {"id": stuck},
        )
    assert scene.erase(scene.customer.id).status == "succeeded"
    assert scene.world.rows("SELECT 1 FROM mailbox WHERE id = :id", id=stuck) == []
    assert where(scene, *scene.customer.secrets) == {}


@pytest.mark.parametrize("first", [True, False], ids=["theirs-first", "theirs-last"])
def test_a_phone_that_two_users_have_registered(scene: Scene, first: bool) -> None:
    """The phone's token belongs to the user who registered it last. Only the erasure of this user deletes it."""
    other = Person("Wolframite", Role.CUSTOMER)
    users = (scene.customer, other) if first else (other, scene.customer)
    for user in users:
        scene.act(user, RegisterDevice(user_id=user.id, token="the shared phone", platform="ios"))
    scene.erase(scene.customer.id)
    owners = scene.world.rows("SELECT user_id FROM devices WHERE token = 'the shared phone'")
    assert [row.user_id for row in owners] == ([other.id] if first else [])
    theirs = scene.world.rows(
        "SELECT payload::text, result::text FROM mailbox WHERE caller_id = :id", id=scene.customer.id
    )
    assert not any("shared phone" in str(row) for row in theirs)


def test_ids_of_requests_that_an_app_made_up_are_removed_from_all_commands_that_followed(
    scene: Scene,
) -> None:
    query = "SELECT count(*) FROM mailbox WHERE caller_id IS NULL AND request_id = 'request-of-Zebulonia'"
    assert scene.world.value(query) > 0
    scene.erase(scene.customer.id)
    assert scene.world.value(query) == 0
    assert scene.world.value("SELECT count(*) FROM mailbox WHERE request_id = 'request-of-Oxfordham'") > 0


def test_with_very_many_made_up_ids_those_of_others_are_removed_as_well(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "MOST_REQUEST_IDS", 1)
    scene.erase(scene.customer.id)
    assert where(scene, "request-of-Zebulonia") == {}


# --- in portions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3])
def test_it_works_in_portions(scene: Scene, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(working, "PORTION", size)
    before = kept(scene)
    row = scene.erase(scene.customer.id)
    assert row.status == "succeeded"
    assert where(scene, *scene.customer.secrets, str(CUSTOMER_AT[0])) == {}
    assert kept(scene) == before
    assert row.attempts == row.crashes == 0


class Killed(BaseException):
    """Ends an attempt as `kill -9` does."""


def test_after_a_crash_it_continues_where_it_was(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "PORTION", 5)
    command = scene.send_erase(scene.customer.id)
    real, calls = working.work, 0

    def dies_every_third_time(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        real(*arguments)
        if calls % 3 == 0:
            raise Killed

    monkeypatch.setattr(erasing, "work", dies_every_third_time)
    parts: list[UUID] = []
    for _ in range(500):
        try:
            scene.world.bus.execute(command)
        except Killed:
            parts += [row.part for row in scene.world.rows("SELECT part FROM erasures")]
        if scene.world.value("SELECT settled_at FROM mailbox WHERE id = :id", id=command):
            break
    assert len(set(parts)) > 3
    assert scene.world.value("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL") == 1
    assert where(scene, *scene.customer.secrets, str(CUSTOMER_AT[0])) == {}


def test_the_sweep_continues_it_if_the_wake_up_is_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """No wake-ups are sent in this test. `drain` executes the commands that are due, as the sweep does."""
    monkeypatch.setattr(working, "PORTION", 10)
    command = scene.send_erase(scene.customer.id)
    scene.world.drain()
    assert scene.world.value("SELECT status FROM mailbox WHERE id = :id", id=command) == "succeeded"


def test_while_redis_is_away_it_waits_and_the_rows_are_erased(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: UUID) -> None:
        raise redis_data.RedisUnavailable

    command = scene.send_erase(scene.customer.id)
    with monkeypatch.context() as patched:
        patched.setattr(redis_data, "remove", away)
        for _ in range(3):
            scene.world.bus.execute(command)
    assert scene.world.value("SELECT status FROM mailbox WHERE id = :id", id=command) == "pending"
    # Until an erasure has ended, its row contains the request ids that the person's apps sent. An app may have put
    # personal texts into them, as those of the scene do.
    assert set(where(scene, *scene.customer.secrets)) == {"redis", "erasures"}
    scene.world.tick(6)
    assert scene.world.value("SELECT status FROM mailbox WHERE id = :id", id=command) == "succeeded"
    assert where(scene, *scene.customer.secrets) == {}


# --- Redis --------------------------------------------------------------------------------------------------


def test_a_transporter_is_removed_from_all_keys_of_redis(scene: Scene) -> None:
    scene.heartbeat()
    assert str(scene.transporter.id) in scene.dump()["redis"]
    scene.erase(scene.transporter.id)
    left = [key for key in redis().scan_iter() if str(scene.transporter.id) in key]
    assert left == []
    assert redis().hget("weelo:presence:at", str(scene.transporter.id)) is None


def test_the_live_stream_keeps_entries_for_a_minute_only(world: World) -> None:
    client: Any = redis()
    old, new = (
        live_stream.StreamEvent(uuid4(), "x", world.value("SELECT now()"), {"a": n}, {}) for n in (1, 2)
    )
    live_stream.publish([old])
    [(entry, fields)] = client.xrange(live_stream.STREAM_KEY)
    client.delete(live_stream.STREAM_KEY)
    long_ago = int(entry.partition("-")[0]) - 1_000 * (live_stream.KEEP_SECONDS + 5)
    client.xadd(live_stream.STREAM_KEY, fields, id=f"{long_ago}-0")
    live_stream.publish([new])
    live_stream.trim()
    [(_, left)] = client.xrange(live_stream.STREAM_KEY)
    assert live_stream.decode(left)[0]["data"] == {"a": 2}
