"""When an API process ends, all its clients are notified quickly, and it ends within its grace period."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psutil
import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter

GRACE_SECONDS = 5.0


@pytest.mark.long_except("15")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_sockets_are_closed_with_1001(migrated: None, number: int) -> None:
    api = Api(workers=2)
    clients = [api.connect_as(uuid4()) for _ in range(100)]
    with ThreadPoolExecutor(100) as pool:
        codes = pool.map(lambda client: client.close_code(), clients)
        took = api.stop(number)
        assert set(codes) == {1001}
    assert took < GRACE_SECONDS
    assert api.process.returncode == 0


@pytest.mark.long
def test_silent_clients_do_not_keep_a_process_alive(migrated: None, log_writer: LogWriter) -> None:
    api = Api()
    user = uuid4()
    sockets = [api.connect_as(uuid4()) for _ in range(20)]
    sockets.append(api.connect_as(user, sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096),)))
    log_writer.write_and_publish(user, 300, size=4_000)
    api.connect()  # this socket does not authenticate
    assert api.stop() < GRACE_SECONDS


@pytest.mark.long
def test_workers_end_when_their_arbiter_is_killed(migrated: None) -> None:
    api = Api()
    [worker] = psutil.Process(api.process.pid).children()
    client = api.connect_as(uuid4())
    api.process.kill()
    assert client.close_code() == 1001
    worker.wait(timeout=GRACE_SECONDS)
    api.process.wait()
