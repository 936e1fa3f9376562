"""Clients that break every rule of WebSocket, and many that open a connection and do nothing, harm no other client.

The attacks are made from the seed FUZZ_SEED: the same seed repeats a run. FUZZ_SECONDS sets the length of a run.
"""

from __future__ import annotations

import os
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.request import urlopen
from uuid import uuid4

import psutil
import pytest

from tests.support.api_process import Api
from tests.support.log_writer import LogWriter
from tests.support.long import rounds
from tests.support.socket_attacks import ATTACKS, RawSocket, frame, handshake
from tests.support.waiting import eventually, slowdown
from weelo_api.websocket.close_codes import CloseCode
from weelo_workers.redis_client import redis

SEED = int(os.environ.get("FUZZ_SEED", "16"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", str(rounds(8, 20))))
ATTACKERS = 8
CROWD = rounds(300, 1_002)  # a multiple of the length of HALVES, so that each half is sent equally often
# The server closes a connection at once if the client has closed its sending direction. It closes others at its time
# limits: 5 s to authenticate, 10 s for the head of a request.
LET_GO_SECONDS = 10.0
SERVED_WITHIN_SECONDS = 1.0
# gunicorn starts up to 128 threads for requests and keeps them. The process itself has up to 20 more.
MOST_THREADS = 128 + 20
# Memory that Python and its allocator keep after the first round. A leak of 10 KB per connection would exceed it.
MORE_MEMORY = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def api(migrated: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    log = tmp_path_factory.mktemp("fuzz") / "api.log"
    api = Api(log=log)
    yield api
    api.stop()
    assert not re.findall(r"Traceback|a socket failed|ERROR", log.read_text()), log.read_text()[-5_000:]


class Usage:
    """The resources that the API process uses."""

    def __init__(self, api: Api) -> None:
        [worker] = psutil.Process(api.process.pid).children()
        self.pid = worker.pid
        self.files = worker.num_fds()
        self.threads = worker.num_threads()
        self.memory = worker.memory_info().rss
        self.sockets = api.metric("weelo_sockets_open")
        self.registered = len(redis().keys("weelo:sockets:????????-*"))


def returns_to(before: Usage, api: Api) -> None:
    """Wait until the API uses hardly more resources than before. Raises AssertionError also if its process has died."""

    def back() -> bool:
        now = Usage(api)
        assert now.pid == before.pid, "the process has died"
        assert now.files <= before.files + 4, f"{now.files} open files, {before.files} before"
        assert now.threads <= MOST_THREADS, f"{now.threads} threads"
        assert now.sockets == before.sockets, f"{now.sockets} sockets, {before.sockets} before"
        assert now.registered == before.registered, f"{now.registered} in Redis, {before.registered} before"
        assert now.memory <= before.memory + MORE_MEMORY, (
            f"{now.memory >> 20} MB, {before.memory >> 20} MB before"
        )
        return True

    eventually(back, within=25, every=0.3)


@contextmanager
def others_are_served(api: Api, log_writer: LogWriter) -> Iterator[None]:
    """Check while the block runs that another user gets answers, events and HTTP responses in time."""
    user = uuid4()
    client = api.connect_as(user)
    over, waits, problems = threading.Event(), [], []

    def serve() -> None:
        try:
            while not over.wait(0.1):
                began = time.monotonic()
                client.send(op="ping")
                assert client.frame(within=10)["event"] == "pong"
                log_writer.write_and_publish(user)
                assert client.frame(within=10)["event"] == "tested"
                with urlopen(f"http://127.0.0.1:{api.port}/healthz", timeout=10) as answer:
                    assert answer.status == 200
                waits.append(time.monotonic() - began)
        except BaseException as problem:  # the test's own thread raises this exception again
            problems.append(problem)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=30)
        client.disconnect()
    if problems:
        raise problems[0]
    assert len(waits) > 5
    assert max(waits) < SERVED_WITHIN_SECONDS * slowdown(), f"another user waited {max(waits):.2f} s"


def one_attack(api: Api, number: int) -> tuple[str, int | None]:
    """Attack once, and return the name of the attack and the close code that the server sent."""
    chance = random.Random(f"{SEED}/{number}")
    act = ATTACKS[number % len(ATTACKS)]
    attacker = RawSocket(api.port, uuid4() if chance.random() < 0.8 else None)
    try:
        assert attacker.upgrade()
        for piece in act(chance):
            attacker.send(piece)
        how = chance.choice(["half-closed", "half-closed", "half-closed", "closed", "reset"])
        attacker.end(how)
        code = attacker.read_to_the_end(LET_GO_SECONDS * slowdown()) if how == "half-closed" else None
    except (TimeoutError, AssertionError) as problem:
        raise AssertionError(f"{act.__name__}, FUZZ_SEED={SEED}, number {number}: {problem!r}") from problem
    finally:
        attacker.line.close()
    return act.__name__, code


def test_whatever_bytes_clients_send_no_process_dies_and_nothing_leaks(
    api: Api, log_writer: LogWriter
) -> None:
    with ThreadPoolExecutor(ATTACKERS) as attackers:
        # The first round is not measured: in it the process creates objects that it keeps, such as threads, buffers and
        # connections of the pools.
        list(attackers.map(lambda number: one_attack(api, number), range(10 * len(ATTACKS))))
        eventually(lambda: api.metric("weelo_sockets_open") == 0)
        before = Usage(api)
        codes: dict[str, Counter[int | None]] = {act.__name__: Counter() for act in ATTACKS}
        until = time.monotonic() + SECONDS
        with others_are_served(api, log_writer):
            number = 10 * len(ATTACKS)
            while time.monotonic() < until:
                numbers = range(number, number := number + 4 * ATTACKERS)
                for name, code in attackers.map(lambda each: one_attack(api, each), numbers):
                    codes[name][code] += 1
    returns_to(before, api)
    seen = {code for counted in codes.values() for code in counted}
    # These codes prove that the attacks have reached the checks that they aim at.
    assert {
        CloseCode.PROTOCOL_ERROR,
        CloseCode.INVALID_PAYLOAD,
        CloseCode.TOO_BIG,
        CloseCode.TOO_MANY,
    } <= seen, codes
    assert all(sum(counted.values()) >= 3 for counted in codes.values()), codes


HALVES = {
    "nothing": lambda _: b"",
    "half a head": lambda _: handshake(None)[:-30],
    "a handshake without a token": lambda _: handshake(None),
    "a handshake, and half a first frame": lambda _: handshake(None) + frame(1, b'{"op":"au', length=100),
    "half a frame": lambda user: handshake(user) + frame(1, b'{"op":', length=100),
    "a frame that is never finished": lambda user: handshake(user) + frame(1, b'{"op":', fin=False),
}


@pytest.mark.long
def test_half_open_connections_keep_no_one_from_being_served(api: Api, log_writer: LogWriter) -> None:
    def crowd(stack: ExitStack) -> list[tuple[str, socket.socket]]:
        lines = []
        for number in range(CROWD):
            name, half = list(HALVES.items())[number % len(HALVES)]
            line = stack.enter_context(socket.create_connection(("127.0.0.1", api.port), timeout=20))
            line.sendall(half(uuid4()))
            lines.append((name, line))
        eventually(lambda: api.metric("weelo_sockets_open") >= authenticated, within=20)
        return lines

    authenticated = 2 * (CROWD // len(HALVES))
    # The first crowd is not measured: it makes the process allocate what it keeps, such as memory for this many
    # connections at a time.
    with ExitStack() as first:
        crowd(first)
    eventually(lambda: api.metric("weelo_sockets_open") == 0)
    before = Usage(api)
    with others_are_served(api, log_writer), ExitStack() as stack:
        lines = crowd(stack)
        # Connections without a user are closed by the server; those of users stay open.
        for name, line in lines:
            if "frame" not in name or "first" in name:
                line.settimeout(20 * slowdown())
                while line.recv(4_096):
                    pass
        assert api.metric("weelo_sockets_open") == authenticated + 1
    returns_to(before, api)
