"""The registry stores in Redis which users have open sockets. The notifier reads this to decide about pushes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest
from redis.exceptions import RedisError

from tests.support.waiting import eventually
from weelo_api.websocket import session_registry
from weelo_api.websocket.session_registry import SessionRegistry
from weelo_workers.notifications import socket_sessions
from weelo_workers.notifications.socket_sessions import SessionRecord
from weelo_workers.redis_client import redis


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionRegistry]:
    """Yield a registry that writes to Redis only after a change, because its next regular write is due in a minute."""
    monkeypatch.setattr(session_registry, "EVERY_SECONDS", 60.0)
    here, stopped = SessionRegistry(list[SessionRecord]), threading.Event()
    thread = threading.Thread(target=here.run, args=(stopped,))
    thread.start()
    yield here
    stopped.set()
    here.add(uuid4())
    thread.join()


def test_PUSH_01_who_has_just_come_is_known_to_be_here(here: SessionRegistry) -> None:
    for user in (uuid4(), uuid4()):
        here.add(user)
        eventually(partial(socket_sessions.connected, [user]), within=5)


def test_a_user_who_reconnects_again_and_again_evicts_no_open_socket() -> None:
    user, here = uuid4(), SessionRegistry(list[SessionRecord])
    first = here.add(user)
    for _ in range(3 * socket_sessions.MAX_SOCKETS_PER_USER):
        here.remove(here.add(user))
    for _ in range(3):
        last = here.add(user)
        here.publish()
        here.remove(last)
    assert redis().zrange(socket_sessions.sockets_of(user), 0, -1) == [first.id, last.id]


def test_a_crowd_that_comes_back_while_redis_is_away_is_not_tried_one_by_one(
    here: SessionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[None] = []

    def refused() -> None:
        tries.append(None)
        raise RedisError("refused")

    monkeypatch.setattr(here, "publish", refused)
    here.add(uuid4())
    eventually(lambda: tries)
    for _ in range(50):
        here.add(uuid4())
        time.sleep(2 * session_registry.BATCH_WINDOW_SECONDS / 50)
    assert len(tries) == 1
