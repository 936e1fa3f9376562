"""The check `fcm-away`: it finds that FCM has refused most pushes of all processes for some minutes."""

from __future__ import annotations

import pytest

from tests.push.phones import device
from tests.support.fcm_server import FcmServer
from tests.support.findings import findings
from tests.support.world import World
from weelo_workers.notifications import push_results
from weelo_workers.redis_client import redis


@pytest.fixture
def at_minute(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list whose only element, which the test sets, is the minute of the clock."""
    now = [1_000]
    monkeypatch.setattr(push_results, "_minute", lambda: now[0])
    return now


def test_pushes_that_FCM_refuses_for_some_minutes_are_found(
    world: World, server: FcmServer, at_minute: list[int]
) -> None:
    fleet = world.fleet()
    tokens = [device(world, fleet.id) for _ in range(3)]
    for token in tokens:
        server.answers[token] = ["invalid"] * 2
    world.broadcast(1)
    assert findings("fcm-away") == [], "a burst"
    at_minute[0] += 1
    world.broadcast(1)
    [line] = findings("fcm-away")
    assert line.startswith(
        "pushes: FCM has accepted 0 of 6 within 5 min; the last reason: InvalidArgumentError"
    )
    assert not any(token in line for token in tokens)
    world.broadcast(1)
    world.broadcast(1)
    assert findings("fcm-away") == [], "it accepts half of them again"


def test_it_ends_with_the_minutes(world: World, at_minute: list[int]) -> None:
    push_results.record(1, 2, "the first reason")
    at_minute[0] += 1
    push_results.record(0, 1, "the last reason")
    assert findings("fcm-away") == [
        "pushes: FCM has accepted 1 of 4 within 5 min; the last reason: the last reason"
    ]
    at_minute[0] += push_results.MINUTES - 1
    assert findings("fcm-away") == [], "one minute with failures is left"
    keys = list(redis().scan_iter("weelo:pushes:*"))
    assert len(keys) == 2 and all(0 < redis().ttl(key) <= 360 for key in keys)


def test_a_phone_that_refuses_among_others_that_do_not_is_nothing(world: World, at_minute: list[int]) -> None:
    for _ in range(4):
        push_results.record(3, 1, "a reason")
        at_minute[0] += 1
    assert findings("fcm-away") == []
