"""`unix://` means the same for redis-py, for Celery and for Flower."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flower.utils.broker import Broker  # type: ignore[import-untyped]

from tests.support.redis_libraries import LIBRARIES, Connects, celery_connects
from tests.support.waiting import eventually
from weelo_workers import redis_client, redis_url
from weelo_workers.runtime.valkey import _binary


@pytest.fixture(scope="module")
def socket() -> Iterator[Path]:
    """Yield the path of a Unix socket, on which a server without a port listens.

    The socket is below /tmp, because its path may have at most 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="weelo-socket-", dir="/tmp"))
    path = folder / "redis.sock"
    arguments = (
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--requirepass",
        "s/cr#t",
        "--dir",
        str(folder),
    )
    server = subprocess.Popen(
        [str(_binary()), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    eventually(path.exists)
    yield path
    server.kill()
    server.wait()
    shutil.rmtree(folder)


@pytest.mark.parametrize("connects", LIBRARIES)
@pytest.mark.parametrize("db", [0, 3])
def test_both_libraries_reach_a_unix_socket(socket: Path, connects: Connects, db: int) -> None:
    url = f"unix://:s%2Fcr%23t@{socket}?db={db}"
    assert connects(url)
    assert not connects(f"unix://:wrong@{socket}?db={db}")
    if connects is celery_connects:
        assert redis_client.connect(url).exists("weelo:celery:fleet"), "the message is in this database"


def test_flower_finds_the_socket(socket: Path) -> None:
    chosen = redis_url.read(f"unix://:s%2Fcr%23t@{socket}?db=0").for_celery()
    found = asyncio.run(Broker(chosen["broker_url"]).queues(["fleet"]))
    assert [queue["name"] for queue in found] == ["fleet"]
