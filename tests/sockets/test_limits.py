"""What one client may use: bytes, frames and sockets, without delaying others."""

from __future__ import annotations

import json
import socket
import time
from uuid import UUID, uuid4

import psutil
import pytest
import websocket

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from tests.support.waiting import eventually
from weelo_workers.redis_client import redis


def test_eight_kibibytes_are_fine(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.ws.send(json.dumps({"op": "ping"}).ljust(8 * 1024))
    assert client.frame()["event"] == "pong"


@pytest.mark.parametrize("size", [8 * 1024 + 1, 100_000, 5_000_000])
def test_a_larger_message_is_closed(api: Api, someone: UUID, size: int) -> None:
    client = api.connect_as(someone)
    client.ws.send(json.dumps({"op": "ping"}).ljust(size))
    assert client.close_code() == 4408


def test_bytes_count_and_not_characters(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.ws.send("ट" * 3_000)
    assert client.close_code() == 4408


def test_a_large_message_in_small_pieces_is_closed_too(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.ws.send_frame(websocket.ABNF.create_frame("x" * 1_000, websocket.ABNF.OPCODE_TEXT, fin=0))
    for _ in range(20):
        client.ws.send_frame(websocket.ABNF.create_frame("x" * 1_000, websocket.ABNF.OPCODE_CONT, fin=0))
    assert client.close_code() == 4408


def test_thirty_frames_at_once_are_fine(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    for _ in range(30):
        client.send(op="ping")
    assert [client.frame()["event"] for _ in range(30)] == ["pong"] * 30


def test_more_frames_a_second_are_closed(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    for _ in range(31):
        client.send(op="ping")
    assert client.close_code() == 4429


def test_a_flood_of_control_frames_is_closed(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    flood = websocket.ABNF.create_frame("x" * 100, websocket.ABNF.OPCODE_PING).format() * 5_000
    client.ws.sock.sendall(flood)
    assert client.close_code() == 4429


@pytest.mark.long
def test_a_client_that_does_not_read_is_closed_and_disturbs_nobody(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    other = uuid4()
    failed = api.metric("weelo_frames_failed_total")
    stalled = api.connect_as(someone, sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096),))
    awake = api.connect_as(other)
    for _ in range(10):
        log_writer.write_and_publish(someone, 30, size=4_000)
        log_writer.write_and_publish(other)
    assert awake.seqs(10, within=5) == list(range(1, 11))
    waits = []
    for second in range(13):
        began = time.monotonic()
        log_writer.write_and_publish(other)
        assert awake.seqs(1, within=5) == [11 + second]
        waits.append(time.monotonic() - began)
        awake.ws.sock.settimeout(1)
        with pytest.raises(TimeoutError):
            awake.frame(within=1)
    assert stalled.close_code(within=10) == 4413
    assert api.metric("weelo_frames_failed_total") == failed + 1
    assert sorted(waits)[6] < 1, (
        "later than the live stream: only the reconciliation with the log delivered these"
    )


def test_the_sixth_socket_of_a_user_sends_the_first_away(
    api: Api, log_writer: LogWriter, someone: UUID
) -> None:
    clients = [api.connect_as(someone) for _ in range(6)]
    assert clients[0].close_code() == 4409
    log_writer.write_and_publish(someone)
    assert [client.seqs(1) for client in clients[1:]] == [[1]] * 5
    clients.append(api.connect_as(someone))
    assert clients[1].close_code() == 4409


def test_a_socket_that_has_left_does_not_count(api: Api, someone: UUID) -> None:
    first = api.connect_as(someone)
    for _ in range(8):
        api.connect_as(someone).disconnect()
    assert first.is_silent()


def test_the_sixth_socket_counts_over_all_processes(migrated: None, someone: UUID) -> None:
    one, other = Api(), Api()
    try:
        clients = [(one, other)[number % 2].connect_as(someone) for number in range(5)]
        assert all(client.is_silent() for client in clients)
        clients.append(other.connect_as(someone))
        assert clients[0].close_code() == 4409
        assert all(client.is_silent() for client in clients[1:])
    finally:
        one.stop()
        other.stop()


@pytest.mark.long
def test_sockets_of_a_process_that_died_do_not_count(migrated: None, someone: UUID) -> None:
    one, other = Api(), Api()
    try:
        still_open = one.connect_as(someone)
        [name] = eventually(lambda: _processes_with_sockets_of(someone))
        for _ in range(4):
            other.connect_as(someone)
        [died] = eventually(lambda: _processes_with_sockets_of(someone) - {name})
        workers = psutil.Process(other.process.pid).children()
        for worker in workers:
            worker.kill()
        other.process.kill()
        other.process.wait()
        # Wait until the workers have ended, because each one renews a key of its process in Redis.
        psutil.wait_procs(workers, timeout=10)
        # The key of the ended process would expire 15 s after it was last renewed. The test deletes it instead of waiting.
        redis().delete(f"weelo:sockets:process:{died}")
        newer = one.connect_as(someone)
        eventually(lambda: _processes_with_sockets_of(someone) == {name})
        assert still_open.is_silent()
        assert newer.is_silent()
    finally:
        one.stop()
        other.stop()


def _processes_with_sockets_of(user_id: UUID) -> set[str]:
    return {str(socket).partition("/")[0] for socket in redis().zrange(f"weelo:sockets:{user_id}", 0, -1)}


def test_closed_sockets_leave_no_threads_behind(api: Api) -> None:
    [worker] = psutil.Process(api.process.pid).children()
    users = [uuid4() for _ in range(60)]

    def come_and_go() -> int:
        for client in [api.connect_as(user) for user in users]:
            client.disconnect()
        return worker.num_threads()

    come_and_go()  # gunicorn starts threads that it keeps; they are not counted as left behind
    settled = eventually(lambda: worker.num_threads() < 128 + 20 and worker.num_threads())
    come_and_go()
    assert eventually(lambda: worker.num_threads() <= settled + 2)


def test_an_endless_message_of_empty_pieces_is_closed(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.ws.send_frame(websocket.ABNF.create_frame("", websocket.ABNF.OPCODE_TEXT, fin=0))
    for _ in range(40):
        client.ws.send_frame(websocket.ABNF.create_frame("", websocket.ABNF.OPCODE_CONT, fin=0))
    assert client.close_code() == 4429


def test_pings_are_frames_and_too_many_of_them_are_closed(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    for _ in range(40):
        client.ws.ping("")
    assert client.close_code() == 4429


def test_our_pings_cost_a_client_none_of_its_frames(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    for _ in range(25):
        client.ws.pong("")
    for _ in range(25):
        client.send(op="ping")
    assert [client.frame()["event"] for _ in range(25)] == ["pong"] * 25


def test_what_is_no_websocket_frame_is_closed_with_the_protocols_own_code(api: Api, someone: UUID) -> None:
    client = api.connect_as(someone)
    client.ws.send_frame(websocket.ABNF.create_frame(b"\xff\xfe", websocket.ABNF.OPCODE_TEXT))
    assert client.close_code() == 1007
