"""Who is here is known to whoever decides about pushes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest
from redis.exceptions import RedisError

from tests.waiting import eventually
from weelo_api import attendance
from weelo_api.attendance import Attendance, Seat
from weelo_workers.notifications import listening
from weelo_workers.redis_client import redis


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Attendance]:
    """One that does nothing of its own accord for a minute."""
    monkeypatch.setattr(attendance, "EVERY_SECONDS", 60.0)
    here, stopped = Attendance(list[Seat]), threading.Event()
    thread = threading.Thread(target=here.keep, args=(stopped,))
    thread.start()
    yield here
    stopped.set()
    here.arrive(uuid4())
    thread.join()


def test_PUSH_01_who_has_just_come_is_known_to_be_here(here: Attendance) -> None:
    for user in (uuid4(), uuid4()):
        here.arrive(user)
        eventually(partial(listening.connected, [user]), within=5)


def test_who_comes_and_goes_again_and_again_takes_nobodys_place() -> None:
    user, here = uuid4(), Attendance(list[Seat])
    first = here.arrive(user)
    for _ in range(3 * attendance.MAX_SOCKETS_PER_USER):
        here.leave(here.arrive(user))
    for _ in range(3):
        last = here.arrive(user)
        here.tell()
        here.leave(last)
    assert redis().zrange(listening.sockets_of(user), 0, -1) == [first.id, last.id]


def test_a_crowd_that_comes_back_while_redis_is_away_is_not_tried_one_by_one(
    here: Attendance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[None] = []

    def refused() -> None:
        tries.append(None)
        raise RedisError("refused")

    monkeypatch.setattr(here, "tell", refused)
    here.arrive(uuid4())
    eventually(lambda: tries)
    for _ in range(50):
        here.arrive(uuid4())
        time.sleep(2 * attendance.GATHER_SECONDS / 50)
    assert len(tries) == 1
