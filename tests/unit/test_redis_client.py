"""The client of Redis: after a call without an answer, further calls fail at once for a while."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from redis.exceptions import RedisError

from weelo_workers import redis_client


@pytest.fixture
def hanging() -> Iterator[Redis]:
    """Yield a client of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield redis_client.connect(f"redis://127.0.0.1:{server.getsockname()[1]}/0")


def get(client: Redis) -> None:
    client.get("key")


def pipeline(client: Redis) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.xadd("stream", {"a": "line"})
        pipe.execute()


@pytest.mark.parametrize("call", [get, pipeline])
@pytest.mark.parametrize("later", [get, pipeline])
def test_only_the_first_call_waits_for_a_redis_that_hangs(
    hanging: Redis, call: Callable[[Redis], None], later: Callable[[Redis], None]
) -> None:
    began = time.monotonic()
    with pytest.raises(RedisError):
        call(hanging)
    first = time.monotonic() - began
    assert first > 0.5
    for _ in range(5):
        with pytest.raises(RedisError):
            later(hanging)
    assert time.monotonic() - began < first + 0.5
