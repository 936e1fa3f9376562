"""`GET /broadcasts/{id}/offers/{transporterId}` explains why a transporter got an offer or did not."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.changed_settings import with_settings
from tests.support.world import Fleet, World, place
from weelo_workers import presence
from weelo_workers.models import Offer
from weelo_workers.notifications import socket_sessions
from weelo_workers.notifications.socket_sessions import acked
from weelo_workers.queries.offer_explanation import explain
from weelo_workers.redis_client import redis


def asked(world: World, broadcast: UUID, fleet: Fleet, acked: int | None = 0) -> Any:
    with Session(world.engine) as session:
        answer = explain(session, broadcast, fleet.id, acked)
    assert answer is not None
    return answer


def test_who_was_offered_it_reads_when_how_far_and_what_became_of_it(world: World) -> None:
    near, further = world.fleet(km_north=1), world.fleet(km_north=14.2)
    broadcast = world.broadcast(1)
    world.tick(15)
    assert asked(world, broadcast, further).answer == "offered at step 2, 14.2 km, not seen yet"
    newest = world.events_of(further.id)[-1]["seq"]
    world.decline(further, broadcast)
    assert asked(world, broadcast, further, newest).answer == "offered at step 2, 14.2 km, seen, declined"
    world.accept(near, broadcast)
    assert asked(world, broadcast, near).answer == "offered at step 1, 1.0 km, not seen yet, won 1"


def test_the_sentence_rounds_the_distance_that_the_answer_has(world: World) -> None:
    fleet = world.fleet(km_north=7.759)
    why = asked(world, world.broadcast(1), fleet)
    assert why.json_dict()["pickupDistanceKm"] == 7.75
    assert why.answer == "offered at step 1, 7.8 km, not seen yet"


def test_who_was_not_offered_it_reads_why(world: World) -> None:
    offered_fleet = world.fleet(km_north=1)
    busy, off, other = (
        world.fleet(km_north=2),
        world.fleet(km_north=3, online=False),
        world.fleet(km_north=1, kind="14 Feet"),
    )
    far = world.fleet(km_north=30)
    world.accept(busy, world.broadcast(1))
    broadcast = world.broadcast(1)
    assert asked(world, broadcast, offered_fleet).offered
    for fleet, answer in (
        (busy, "not offered: no free truck of this kind (step 1)"),
        (off, "not offered: they were not available"),
        (other, "not offered: no truck of this kind"),
        (far, "not offered: they are 30.0 km away, the rings reached 10.0 km"),
    ):
        assert asked(world, broadcast, fleet).answer == answer
    assert asked(world, broadcast, far).as_of_now


def test_a_truck_that_is_free_by_now_was_busy_all_the_same(world: World) -> None:
    world.fleet(km_north=1)
    busy = world.fleet(km_north=2)
    first = world.broadcast(1)
    world.accept(busy, first)
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    world.cancel(first)
    answer = asked(world, broadcast, busy)
    assert (answer.reason, answer.as_of_now) == ("no_free_truck", False)


def test_silent_phones_and_full_lists_are_remembered_step_by_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1, max_offers_per_step=1)
    world.fleet(km_north=1)
    stale, full = world.fleet(km_north=2), world.fleet(km_north=3)
    redis().zadd("weelo:presence:seen", {str(stale.id): 1})
    first = world.broadcast(1)
    assert asked(world, first, stale).reason == "silent"
    assert asked(world, first, full).answer == (
        "not offered: others came first in the order, and their turn has not come yet (step 1)"
    )
    world.tick(15)
    assert asked(world, first, full).offered
    assert [each.reason for each in asked(world, first, full).passed_over] == ["next_step"]
    second = world.broadcast(1)
    answer = asked(world, second, full)
    assert answer.reason == "too_many_offers"
    assert answer.answer == "not offered: they had too many open offers (step 5)"
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE passed_over SET distance_km = 3"))
    answer = asked(world, second, full)
    assert answer.answer == "not offered: they had too many open offers at least as near (step 5)"


def test_nearer_ones_came_first_until_it_was_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, max_offers_per_step=1)
    world.fleet(km_north=1)
    farther = world.fleet(km_north=3)
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    assert asked(world, broadcast, farther).answer == (
        "not offered: others came first in the order, and it was over before their turn (step 1)"
    )


def test_while_redis_does_not_answer_nothing_is_claimed_that_only_redis_knows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_settings(monkeypatch, max_open_offers=1)
    fleet = world.fleet(km_north=1)
    first = world.broadcast(1)
    world.fleet(km_north=2)
    late = world.fleet(km_north=3)

    def unreachable() -> None:
        raise RedisError

    monkeypatch.setattr(presence, "redis", unreachable)
    monkeypatch.setattr(socket_sessions, "redis", unreachable)
    assert acked([fleet.id]) == {}
    answer = asked(world, first, fleet, None)
    assert (answer.answer, answer.seen) == (
        "offered at step 1, 1.0 km, not known whether seen: Redis does not answer",
        None,
    )
    answer = asked(world, first, late)
    assert (answer.reason, answer.as_of_now) == ("position_unknown", True)
    assert answer.answer == "not offered: their position is not known at the moment, as Redis does not answer"
    second = world.broadcast(1)
    assert asked(world, second, fleet).answer == "not offered: they had too many open offers (step 1)"


def test_a_broadcast_that_does_not_exist_has_no_answer(world: World) -> None:
    with Session(world.engine) as session:
        assert explain(session, uuid4(), uuid4(), 0) is None


def test_who_waits_for_a_late_offer_is_not_told_that_nothing_was_left(world: World) -> None:
    world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    late = world.fleet(km_north=2)
    with Session(world.engine) as session:  # no offer yet: the command that makes it is pending
        assert session.get(Offer, (broadcast, late.id)) is None
    answer = asked(world, broadcast, late)
    assert (answer.reason, answer.as_of_now) == ("not_yet", True)
    assert answer.answer == "not offered: the request is open, and their turn has not come yet"
    world.cancel(broadcast)
    assert asked(world, broadcast, late).reason == "came_too_late"


def test_who_was_on_the_road_when_the_rings_came_to_them_reads_so(world: World) -> None:
    world.fleet(km_north=1)
    busy = world.fleet(km_north=30)
    broadcast = world.broadcast(1)
    world.accept(busy, world.broadcast(1, at=place(30)))
    world.tick(15)
    world.tick(15)
    assert asked(world, broadcast, busy).reason == "no_free_truck"


def test_whether_an_old_offer_was_seen_is_not_known(world: World) -> None:
    fleet = world.fleet(km_north=1)
    broadcast = world.broadcast(1)
    world.cancel(broadcast)
    with world.engine.begin() as connection:
        connection.execute(text("UPDATE offers SET offered_at = offered_at - interval '8 days'"))
        connection.execute(text("DELETE FROM log_lines"))
    answer = asked(world, broadcast, fleet)
    assert (answer.answer, answer.seen) == (
        "offered at step 1, 1.0 km, too long ago to know whether seen",
        None,
    )
