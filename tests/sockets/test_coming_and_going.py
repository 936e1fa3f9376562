"""Phones lose their sockets many times an hour: no resources of a lost socket may stay behind.

The variable `WEELO_CONNECTS` sets the number of sockets.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psutil
import pytest

from tests.support.api_process import Api
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_workers.notifications.socket_sessions import sockets_of
from weelo_workers.redis_client import redis

CONNECTS = int(os.environ.get("WEELO_CONNECTS", "600"))
AT_ONCE = 20
WARM_UP = 400
# How many threads may be added: gunicorn starts up to one per concurrent request, and keeps them.
MORE_THREADS = AT_ONCE
# How many open files may be added: pools may open connections to PostgreSQL and Redis during the test.
MORE_FILES = 10
# By how many bytes the memory may grow. A leaked socket would need about 48 KiB. Without a leak, the memory of caches and
# threads still grows after the warm-up: by 0.4 to 1 KiB for each of the first 600 sockets, and by less for later ones.
MORE_MEMORY = min(CONNECTS * 4 * 1024, 8 * 1024**2)


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    """Yield an API process that no other test uses."""
    api = Api()
    yield api
    api.stop()


@pytest.mark.long
@pytest.mark.timeout(60 + CONNECTS / 20)
def test_sockets_that_come_and_go_leave_no_thread_no_file_and_no_memory(api: Api) -> None:
    [worker] = psutil.Process(api.process.pid).children()
    _come_and_go(api, WARM_UP)
    threads, files, memory = _weigh(worker)
    visitors = _come_and_go(api, CONNECTS)

    def back() -> bool:
        now = _weigh(worker)
        assert now[0] <= threads + MORE_THREADS
        assert now[1] <= files + MORE_FILES
        assert now[2] <= memory + MORE_MEMORY
        return True

    eventually(back, within=30, every=0.5)
    print(f"{CONNECTS} connects: {(threads, files, memory)} before, {_weigh(worker)} after")  # noqa: T201
    assert worker.is_running()
    eventually(lambda: not any(redis().exists(sockets_of(each)) for each in visitors[-100:]), within=10)


def _come_and_go(api: Api, count: int) -> list[UUID]:
    """Open and close `count` sockets of as many users. Return the users."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda number: _visit(api, number), range(count)))


def _visit(api: Api, number: int) -> UUID:
    """Open and close a socket. Of four sockets, two end without a close frame, one of them before its first frame is read."""
    user_id = uuid4()
    if number % 4 == 3:
        line = api.connect(f"Bearer {token('customer', user_id)}").ws.sock
        assert line is not None
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
        return user_id
    client = api.connect_as(user_id)
    client.send(op="resume", after=0)
    if number % 4 == 1:
        assert client.ws.sock is not None
        client.ws.sock.close()
    else:
        assert client.is_silent()
        client.disconnect()
    return user_id


def _weigh(worker: psutil.Process) -> tuple[int, int, int]:
    """Return the process's number of threads, number of open files, and memory in bytes."""
    return worker.num_threads(), worker.num_fds(), worker.memory_info().rss
