"""The channel against a real API."""

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
def who() -> UUID:
    return uuid4()


def listen(api: Api, who: UUID, after: int) -> Channel:
    return WeeloClient(f"http://127.0.0.1:{api.port}", token("customer", who)).listen(after=after)


def acked(who: UUID) -> int:
    return int(redis().get(f"weelo:acked:{who}") or 0)


def test_three_thousand_lines_at_once_are_heard_on_one_connection_and_acknowledged(
    real: Api, who: UUID
) -> None:
    LogWriter().write(who, LINES)
    with listen(real, who, after=0) as channel:
        channel.wait_for(lambda frame: frame.seq == LINES, within=20)
        assert [frame.seq for frame in channel.frames if frame.seq is not None] == list(range(1, LINES + 1))
        assert channel.reconnects == 0
    assert eventually(lambda: acked(who) == LINES)
