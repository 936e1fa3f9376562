"""The time from a commit to its frame, with one client and with a thousand, and the memory of an idle socket."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from uuid import UUID, uuid4

import httpx
import psutil

from bench.bare_loop import PADDING, bare_loop, read_all
from bench.figures import Figure, milliseconds, percentile
from bench.run import Run
from tests.support.log_writer import LogWriter
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_workers.contracts.statuses import Role

API = "gunicorn"
OTHERS = 20
FLOOD_BYTES = 16 * 1024  # a hundred messages of this size fill all buffers between server and client


class Reader:
    """A WebSocket that only reads: it sends the upgrade itself and searches the received bytes without parsing frames."""

    def __init__(self, port: int, user_id: UUID, role: Role = Role.TRANSPORTER) -> None:
        self.user_id = user_id
        self.line = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self.line.sendall(
            f"GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token(role, user_id)}\r\n\r\n".encode()
        )

    def greeted(self) -> None:
        seen = b""
        while b'"connected"' not in seen:
            received = self.line.recv(4096)
            assert received, seen
            seen += received


def one_reader(run: Run) -> list[Figure]:
    """Measure the time to write the log line of a stored event, commit, publish it, and receive its frame."""
    rounds = run.size(200, 5)
    log_writer, reader = LogWriter(), Reader(run.system.port, uuid4())
    reader.greeted()
    taken = []
    for _ in range(rounds):
        delivery = log_writer.post({reader.user_id: None}, size=PADDING)
        began = time.perf_counter()
        log_writer.deliver(delivery)
        read_all([reader.line])
        taken.append(time.perf_counter() - began)
    reader.line.close()
    name = f"commit to frame, one reader, idle, {rounds} rounds"
    return [Figure(name, milliseconds(taken, 0.5, 0.99), "ms", "p99 50")]


def a_thousand_readers(run: Run) -> list[Figure]:
    """Measure the time of one event to 1,000 connected transporters, and of a bare loop that sends as many bytes."""
    count, turns = run.size(1_000, 50), run.size(7, 2)
    log_writer, readers = LogWriter(), _enter(run.system, count)
    whole, sending = [], []
    for _ in range(turns):
        delivery = log_writer.post({reader.user_id: None for reader in readers}, size=PADDING)
        began = time.perf_counter()
        log_writer.deliver(delivery)
        last = max(read_all([reader.line for reader in readers]))
        whole.append(last - began)
        sending.append(last - log_writer.committed_at)
    for reader in readers:
        reader.line.close()
    of_weelo, of_bare_loop = percentile(sending, 0.5), percentile(bare_loop(count)[0], 0.5)
    name, part = f"commit to the last of {count:,} frames", "the part of it after the lines are written"
    return [
        Figure(name, {**milliseconds(whole, 0.5), f"slowest of {turns}": max(whole) * 1000}, "ms", "700"),
        Figure(part, {"p50": of_weelo * 1000, "bare loop": of_bare_loop * 1000}, "ms"),
        Figure(f"{part} ÷ bare loop", {"": of_weelo / of_bare_loop}, goal="3"),
    ]


def idle_sockets(run: Run) -> list[Figure]:
    """Measure the memory of 2,000 idle sockets in a fresh API process."""
    system, count = run.system, run.size(2_000, 100)
    # The API is restarted first, because in an old process sockets would reuse memory that earlier sockets have freed.
    system.kill(API)
    eventually(lambda: len(system.pids(API)) >= 3 and _ready(system), within=30)
    before = _memory(system)
    readers = _enter(system, count)
    time.sleep(run.size(3, 1))
    per_socket = (_memory(system) - before) / count
    for reader in readers:
        reader.line.close()
    return [Figure(f"memory per idle socket, {count:,} open", {"": per_socket / 1024}, "KiB", "64")]


def a_stalled_reader(run: Run) -> list[Figure]:
    """Measure the latency of 20 clients while another client is sent much data.

    Compare turns in which it reads the data with turns in which it does not.
    """
    turns, rounds = run.size(6, 2), run.size(100, 5)
    log_writer, others = LogWriter(), _enter(run.system, OTHERS)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(turns):
        reads = turn % 2 == 0
        flooded = Reader(run.system.port, uuid4())
        flooded.greeted()
        with _reading(flooded.line) if reads else nullcontext():
            for _ in range(rounds):
                log_writer.deliver(log_writer.post({flooded.user_id: None}, size=FLOOD_BYTES))
                delivery = log_writer.post({reader.user_id: None for reader in others}, size=PADDING)
                began = time.perf_counter()
                log_writer.deliver(delivery)
                taken[reads] += [at - began for at in read_all([reader.line for reader in others])]
        flooded.line.close()
    for reader in others:
        reader.line.close()
    calm, stalled = percentile(taken[True], 0.99), percentile(taken[False], 0.99)
    name = f"commit to frame for {OTHERS} others, p99, while one client is sent {rounds} × {FLOOD_BYTES >> 10} KiB"
    return [
        Figure(name, {"it reads": calm * 1000, "it does not": stalled * 1000}, "ms"),
        Figure("that client does not read ÷ reads", {"": stalled / calm}, goal="1.2"),
    ]


@contextmanager
def _reading(line: socket.socket) -> Iterator[None]:
    """Read and discard this socket's data while the block runs."""
    over = threading.Event()

    def read() -> None:
        line.settimeout(0.1)
        while not over.is_set():
            with suppress(TimeoutError):
                line.recv(64 * 1024)

    thread = threading.Thread(target=read)
    thread.start()
    yield
    over.set()
    thread.join()


def _enter(system: System, count: int) -> list[Reader]:
    readers = []
    for first in range(0, count, 100):
        batch = [Reader(system.port, uuid4()) for _ in range(first, min(first + 100, count))]
        for reader in batch:
            reader.greeted()
        readers += batch
    return readers


def _ready(system: System) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{system.url}/readyz").status_code == 200
    return False


def _memory(system: System) -> int:
    """Return the memory of all API processes in bytes, without shared pages."""
    total = 0
    for pid in system.pids(API):
        with suppress(psutil.Error):
            total += psutil.Process(pid).memory_full_info().uss
    return total
