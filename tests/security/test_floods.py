"""No client can hold up others: requests are answered while there are slow heads, slow bodies and floods."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from uuid import uuid4

import httpx
import psutil
import pytest
import websocket
from gunicorn.util import load_class

from tests.security.impatient_worker import ImpatientWorker
from tests.support.api_process import Api
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_api.server import gunicorn
from weelo_api.server.worker import SlowClientSafeWorker

HEAD_SECONDS, BODY_SECONDS = ImpatientWorker.head_seconds, ImpatientWorker.body_seconds
KEEPER = "tests.security.impatient_worker.ImpatientWorker"
THREADS = 128  # the number of threads of the one API process under test
CROWD = 200

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
KEPT = HEALTH.replace(b"Connection: close\r\n", b"")


@pytest.fixture(scope="module")
def api(migrated: None) -> Iterator[Api]:
    api = Api(GUNICORN_CMD_ARGS=f"--worker-class={KEEPER}")
    yield api
    api.stop()


def call(api: Api, data: bytes = b"") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", api.port), timeout=30)
    line.sendall(data)
    return line


@contextmanager
def crowd(api: Api, data: bytes, count: int = CROWD) -> Iterator[list[socket.socket]]:
    """Open `count` connections, send these bytes on each, and leave them open within the block."""
    with ExitStack() as lines:
        yield [lines.enter_context(call(api, data)) for _ in range(count)]


def others_are_answered(api: Api, within: float = HEAD_SECONDS * 0.8) -> None:
    """Assert that other requests are answered before slow clients are disconnected."""
    bearer = {"Authorization": f"Bearer {token('customer', uuid4())}"}
    for _ in range(5):
        began = time.monotonic()
        answer = httpx.get(f"http://127.0.0.1:{api.port}/api/v1/events", headers=bearer, timeout=10)
        assert answer.status_code == 200
        assert time.monotonic() - began < within


def hung_up(line: socket.socket, within: float) -> bytes:
    """Return what is received until the server closes the connection. Raises TimeoutError if it does not."""
    line.settimeout(within)
    received = b""
    with suppress(ConnectionResetError):
        while chunk := line.recv(65_536):
            received += chunk
    return received


def post(headers: str, body: bytes = b"", *, role: str = "customer") -> bytes:
    head = f"POST /api/v1/bookings HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {token(role, uuid4())}\r\n"
    return f"{head}{headers}\r\n\r\n".encode() + body


# --- slow clients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"G",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\n",
        HEALTH.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 4_000),
    ],
    ids=["nothing", "a letter", "half a head", "a long half"],
)
def test_who_does_not_finish_their_head_holds_nobody_up(api: Api, said: bytes) -> None:
    with crowd(api, said) as lines:
        others_are_answered(api)
        assert hung_up(lines[0], HEAD_SECONDS + 3) == b""


def test_half_a_head_that_is_too_long_is_refused_at_once_and_delays_no_other_request(api: Api) -> None:
    with crowd(api, HEALTH.replace(b"\r\n\r\n", b"\r\nX: " + b"y" * 40_000)) as lines:
        others_are_answered(api)
        assert hung_up(lines[0], HEAD_SECONDS / 2).startswith(b"HTTP/1.1 431 ")


def test_who_hangs_up_within_their_head_is_let_go_at_once(api: Api) -> None:
    """If a client closes its sending direction within a request's head, the server closes the connection at once.

    A server that waited for the rest would find the socket readable again and again.
    """
    with call(api, b"GET /healthz HTTP/1.1\r\n") as line:
        line.shutdown(socket.SHUT_WR)
        assert hung_up(line, HEAD_SECONDS / 2) == b""


def test_who_hangs_up_behind_their_head_is_answered(api: Api) -> None:
    with call(api, KEPT) as line:
        line.shutdown(socket.SHUT_WR)
        assert hung_up(line, 2).startswith(b"HTTP/1.1 200 ")


def test_half_a_head_behind_a_request_holds_nobody_up(api: Api) -> None:
    """If part of a head is received together with the previous request, no thread waits for the rest of the head."""
    with crowd(api, KEPT + KEPT[:20]) as lines:
        others_are_answered(api)
        assert hung_up(lines[0], HEAD_SECONDS + 3).count(b"HTTP/1.1 200 ") == 1


def test_half_a_head_behind_a_request_may_still_become_whole(api: Api) -> None:
    with call(api, KEPT + HEALTH[:20]) as line:
        assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
        line.sendall(HEALTH[20:])
        assert hung_up(line, 2).count(b"HTTP/1.1 200 ") == 1


def test_a_head_letter_by_letter_is_understood_and_costs_others_nothing(api: Api) -> None:
    line = call(api)
    for letter in HEALTH:
        line.sendall(bytes([letter]))
        time.sleep(0.005)
    assert hung_up(line, 5).startswith(b"HTTP/1.1 200 ")
    line.close()


def test_a_head_dripping_for_ever_is_hung_up_on_all_the_same(api: Api) -> None:
    """A client that sends a head byte by byte is disconnected when the time limit for the whole head has passed."""
    line = call(api, b"GET /healthz HTTP/1.1\r\nX: ")
    began = time.monotonic()
    with suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() - began < HEAD_SECONDS * 4:
            line.sendall(b"y")
            time.sleep(0.1)
    assert HEAD_SECONDS - 1 < time.monotonic() - began < HEAD_SECONDS * 3
    line.close()


def test_a_body_that_does_not_come_is_not_waited_for_and_holds_nobody_up(api: Api) -> None:
    slow = [call(api, post("Content-Length: 1000", b"{")) for _ in range(THREADS // 2)]
    began = time.monotonic()
    others_are_answered(api)
    received = [hung_up(line, BODY_SECONDS + 5) for line in slow]
    assert time.monotonic() - began < BODY_SECONDS + 5
    assert {answer.partition(b"\r\n")[0] for answer in received} == {b"HTTP/1.1 400 BAD REQUEST"}


@pytest.mark.parametrize("headers", ["Content-Length: 60000", "Transfer-Encoding: chunked"])
def test_strangers_are_refused_before_their_body_is_read(api: Api, headers: str) -> None:
    head = f"POST /api/v1/bookings HTTP/1.1\r\nHost: here\r\n{headers}\r\n\r\n".encode()
    with crowd(api, head) as lines:
        others_are_answered(api)
        assert all(hung_up(line, 5).startswith(b"HTTP/1.1 401 ") for line in lines)


def test_who_does_not_close_holds_nobody_up(api: Api) -> None:
    """A client that does not close its side after a response delays no other client.

    gunicorn by default waits two seconds for each such client, one after another, and accepts no connection meanwhile.
    """
    with crowd(api, HEALTH) as lines:
        others_are_answered(api)
        assert all(hung_up(line, 5).startswith(b"HTTP/1.1 200 ") for line in lines)
    others_are_answered(api)


def test_who_does_not_read_the_answer_holds_nobody_up(api: Api) -> None:
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: here\r\n\r\n" * 20
    with ExitStack() as lines:
        for _ in range(THREADS // 4):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            lines.enter_context(line)
            line.connect(("127.0.0.1", api.port))
            line.sendall(ask)
        # The limit is longer here, because sending the large responses takes much processor time.
        others_are_answered(api, within=8)


# --- large requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_flood_of_bodies_is_413_and_takes_little_memory(api: Api, chunked: bool) -> None:
    [worker] = psutil.Process(api.process.pid).children()
    before = worker.memory_info().rss
    body = b"x" * 2_000_000
    flooding = threading.Event()
    answers: list[bytes] = []

    def flood() -> None:
        while not flooding.is_set():
            piece = b"%x\r\n%s\r\n" % (len(body), body) if chunked else body
            length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
            with call(api, post(length)) as line, suppress(OSError):
                with suppress(BrokenPipeError, ConnectionResetError):
                    line.sendall(piece)
                answers.append(line.recv(15))

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    others_are_answered(api)
    flooding.set()
    for thread in threads:
        thread.join()
    assert answers and set(answers) <= {b"HTTP/1.1 413 REQ"[:15], b""}
    assert worker.memory_info().rss - before < 200 * 1024 * 1024


def test_a_length_that_is_announced_is_refused_without_being_sent(api: Api) -> None:
    with call(api, post("Content-Length: 99999999999")) as line:
        assert line.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: here\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"\r\n" * 50_000,
        b"\x16\x03\x01\x02\x00\x01" + bytes(60_000),
    ],
    ids=["address", "header", "headers", "line ends", "TLS"],
)
def test_a_head_without_end_is_refused(api: Api, head: bytes) -> None:
    with call(api) as line:
        with suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(head)
        answer = hung_up(line, HEAD_SECONDS + 5)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    others_are_answered(api)


def test_requests_one_behind_the_other_are_all_answered(api: Api) -> None:
    """Pipelined requests are all answered (RFC 9112, section 9.3.2).

    The server does not wait for the rest of an incomplete last request.
    """
    with call(api, KEPT * 10 + KEPT[:20]) as line:
        assert hung_up(line, BODY_SECONDS + 5).count(b"HTTP/1.1 200 ") == 10


def test_a_connection_that_is_kept_serves_again(api: Api) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{api.port}") as client:
        for _ in range(3):
            assert client.get("/healthz").status_code == 200
            time.sleep(0.3)


# --- many connections -----------------------------------------------------------------------------------


def test_more_connections_than_there_is_room_for_keep_nobody_out(migrated: None) -> None:
    """For a new connection, the server closes the one that has been open longest without a complete request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 1_000 or hard > 1_000
    api = Api(GUNICORN_CMD_ARGS=f"--worker-class={KEEPER} --worker-connections=160")
    try:
        with crowd(api, b"G", 400):
            others_are_answered(api)
    finally:
        api.stop()


def test_sockets_that_never_say_who_they_are_end_and_hold_nobody_up(api: Api) -> None:
    [worker] = psutil.Process(api.process.pid).children()
    others_are_answered(api)
    before = worker.num_fds()
    strangers = [api.connect() for _ in range(THREADS // 4)]
    others_are_answered(api)
    assert {stranger.close_code(within=8) for stranger in strangers} == {4401}
    eventually(lambda: worker.num_fds() <= before + 4)


def test_a_flood_of_frames_on_every_socket_disturbs_nobody_else(api: Api) -> None:
    quiet = api.connect_as()
    noisy = [api.connect_as() for _ in range(20)]
    for client in noisy:
        with suppress(OSError, websocket.WebSocketException):
            for _ in range(200):
                client.ws.send(json.dumps({"op": "resume", "after": 0}))
    others_are_answered(api)
    assert quiet.is_silent()
    assert {client.close_code(within=10) for client in noisy} == {4429}


@pytest.mark.long
def test_it_stops_in_time_while_people_dawdle(migrated: None) -> None:
    api = Api(GUNICORN_CMD_ARGS=f"--worker-class={KEEPER}")
    half = post("Content-Length: 1000", b"{")
    with crowd(api, b"", 20), crowd(api, b"GET /h", 20), crowd(api, HEALTH, 20), crowd(api, half, 20):
        others_are_answered(api)
        assert api.stop() < 8


def test_the_real_api_runs_this_worker_class() -> None:
    assert issubclass(
        load_class(gunicorn.worker_class, default="sync", section="gunicorn.workers"), SlowClientSafeWorker
    )
