"""Tests of the client's WebSocket channel against a real API."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_client import Channel, WeeloClient
from weelo_workers.redis_client import redis

LINES = 3_000


@pytest.fixture(scope="module")
def real(migrated: None) -> Iterator[Api]:
    api = Api()
    yield api
    api.stop()


@pytest.fixture
def user_id() -> UUID:
    return uuid4()


def listen(api: Api, user_id: UUID, after: int) -> Channel:
    return WeeloClient(f"http://127.0.0.1:{api.port}", token("customer", user_id)).listen(after=after)


def acked(user_id: UUID) -> int:
    return int(redis().get(f"weelo:acked:{user_id}") or 0)


@pytest.mark.long
def test_three_thousand_lines_at_once_are_heard_on_one_connection_and_acknowledged(
    real: Api, user_id: UUID
) -> None:
    LogWriter().write(user_id, LINES)
    with listen(real, user_id, after=0) as channel:
        channel.wait_for(lambda frame: frame.seq == LINES, within=20)
        assert [frame.seq for frame in channel.frames if frame.seq is not None] == list(range(1, LINES + 1))
        assert channel.reconnects == 0
    assert eventually(lambda: acked(user_id) == LINES)
