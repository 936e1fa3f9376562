"""While Redis is unavailable sockets stay open, and events that the live stream loses are read from the log."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from tests.support.waiting import pid_of
from weelo_workers.notifications import live_stream
from weelo_workers.redis_client import connect
from weelo_workers.runtime.embedded import Valkey

HEALED_WITHIN_SECONDS = 5.0


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """Yield a Redis that only these tests use, because they kill it."""
    folder = Path(tempfile.mkdtemp(prefix="weelo-outage-"))
    server = Valkey(folder)
    server.start()
    yield server
    server.remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def api_beside(valkey: Valkey, migrated: None) -> Iterator[Api]:
    api = Api(REDIS_URL=valkey.url())
    yield api
    api.stop()


def test_lines_are_heard_while_redis_is_away_and_at_once_when_it_is_back(
    valkey: Valkey, api_beside: Api, log_writer: LogWriter, someone: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = api_beside.connect_as(someone)
    valkey.kill()
    log_writer.write(someone, 3)
    assert client.seqs(3, within=HEALED_WITHIN_SECONDS) == [1, 2, 3]
    client.send(op="ack", seq=3)
    assert client.is_silent()
    url = valkey.restart()
    log_writer.write(someone, 2)
    assert client.seqs(2, within=HEALED_WITHIN_SECONDS) == [4, 5]
    monkeypatch.setattr(live_stream, "redis", lambda: connect(url))
    log_writer.write_and_publish(someone)
    assert client.seqs(1, within=HEALED_WITHIN_SECONDS) == [6]
    log_writer.write_and_publish(someone)
    assert client.seqs(1, within=1) == [7]


def test_a_redis_that_hangs_is_noticed(
    valkey: Valkey, api_beside: Api, log_writer: LogWriter, someone: UUID
) -> None:
    client = api_beside.connect_as(someone)
    pid = pid_of(valkey)
    os.kill(pid, signal.SIGSTOP)
    try:
        log_writer.write(someone, 3)
        assert client.seqs(3, within=HEALED_WITHIN_SECONDS) == [1, 2, 3]
    finally:
        os.kill(pid, signal.SIGCONT)
    log_writer.write(someone)
    assert client.seqs(1, within=HEALED_WITHIN_SECONDS) == [4]
