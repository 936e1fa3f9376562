"""The time from a commit to its frame, with one client and with a thousand, and the memory of an idle socket."""

from __future__ import annotations

import base64
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil

from bench.figures import Figure, milliseconds, percentile
from tests.support.log_writer import LogWriter
from tests.support.system import System
from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_workers import redis_client, settings as settings_module
from weelo_workers.contracts.statuses import Role
from weelo_workers.models import engine as engines
from weelo_workers.runtime.embedded import Postgres, Valkey

API = "gunicorn"
READERS = 1_000
IDLE = 2_000
ROUNDS = 200
OTHERS = 20
STALL_TURNS, STALL_ROUNDS = 6, 100
FLOOD_BYTES = 16 * 1024  # multiplied by STALL_ROUNDS, this is more than all buffers on the way can take
PADDING = 600  # about the length of an offer

# A bare server for comparison. It accepts sockets, waits for a byte from the first one, and writes one frame to each, with
# its own `seq`.
BARE_LOOP = """
import json, socket, struct, sys
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(listener.getsockname()[1], flush=True)
padding = "x" * int(sys.stdin.buffer.readline())
sockets = [listener.accept()[0] for _ in range(int(sys.argv[1]))]
print("all here", flush=True)
while sockets[0].recv(1):
    for seq, each in enumerate(sockets):
        data = {"broadcastId": "0" * 36, "number": 1, "padding": padding}
        frame = {"id": "0" * 36, "seq": seq, "event": "new_broadcast", "at": "0" * 24, "data": data}
        text = json.dumps(frame, separators=(",", ":")).encode()
        each.send(struct.pack("!BBH", 0x81, 126, len(text)) + text)
"""


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


def one_reader(system: System, data: Path) -> list[Figure]:
    """Measure the time from an event's commit to its frame: the notifier's transaction and the live stream."""
    _be_part_of(data)
    log_writer, reader = LogWriter(), Reader(system.port, uuid4())
    reader.greeted()
    taken = []
    for _ in range(ROUNDS):
        delivery = log_writer.post({reader.user_id: None}, size=PADDING)
        began = time.perf_counter()
        log_writer.deliver(delivery)
        reader.line.recv(4096)
        taken.append(time.perf_counter() - began)
    reader.line.close()
    return [
        Figure(
            f"commit to frame, one reader, idle, {ROUNDS} rounds", milliseconds(taken, 0.5, 0.99), "p99 50 ms"
        )
    ]


def a_thousand_readers(system: System, data: Path) -> list[Figure]:
    """Measure one event to 1,000 connected transporters, and a bare loop that sends the same bytes."""
    _be_part_of(data)
    log_writer, readers = LogWriter(), _enter(system, READERS)
    whole, sending = [], []
    for _ in range(7):
        delivery = log_writer.post({reader.user_id: None for reader in readers}, size=PADDING)
        began = time.perf_counter()
        log_writer.deliver(delivery)
        last = max(_read_all([reader.line for reader in readers]))
        whole.append(last - began)
        sending.append(last - log_writer.committed_at)
    for reader in readers:
        reader.line.close()
    bare = _bare_loop()
    of_weelo, of_bare_loop = percentile(sending, 0.5), percentile(bare, 0.5)
    return [
        Figure(
            f"commit to the last of {READERS:,} frames",
            f"p50 {percentile(whole, 0.5) * 1000:.0f} ms, slowest of {len(whole)} {max(whole) * 1000:.0f} ms",
            "700 ms",
        ),
        Figure(
            "of that, once the lines are written / bare loop",
            f"{of_weelo * 1000:.0f} / {of_bare_loop * 1000:.0f} ms, ratio {of_weelo / of_bare_loop:.1f}",
            "ratio 3",
        ),
    ]


def idle_sockets(system: System, data: Path) -> list[Figure]:
    """Measure the memory of 2,000 idle sockets in a fresh API process."""
    system.kill(API)  # otherwise these sockets would reuse memory that earlier ones have freed
    eventually(lambda: len(system.pids(API)) >= 3 and _ready(system), within=30)
    before = _memory(system)
    readers = _enter(system, IDLE)
    time.sleep(3)
    per_socket = (_memory(system) - before) / IDLE
    for reader in readers:
        reader.line.close()
    return [Figure(f"memory per idle socket, {IDLE:,} open", f"{per_socket / 1024:.0f} KiB", "64 KiB")]


def a_stalled_reader(system: System, data: Path) -> list[Figure]:
    """Measure the latency of 20 clients while another one is sent much data, which it reads or does not read."""
    _be_part_of(data)
    log_writer, others = LogWriter(), _enter(system, OTHERS)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(STALL_TURNS):
        reads = turn % 2 == 0
        flooded = Reader(system.port, uuid4())
        flooded.greeted()
        with _reading(flooded.line) if reads else nullcontext():
            for _ in range(STALL_ROUNDS):
                log_writer.deliver(log_writer.post({flooded.user_id: None}, size=FLOOD_BYTES))
                delivery = log_writer.post({reader.user_id: None for reader in others}, size=PADDING)
                began = time.perf_counter()
                log_writer.deliver(delivery)
                taken[reads] += [at - began for at in _read_all([reader.line for reader in others])]
        flooded.line.close()
    for reader in others:
        reader.line.close()
    calm, stalled = percentile(taken[True], 0.99), percentile(taken[False], 0.99)
    return [
        Figure(
            f"commit to frame for {OTHERS} others, one gets {FLOOD_BYTES * STALL_ROUNDS >> 20} MiB: it reads / does not",
            f"p99 {calm * 1000:.1f} / {stalled * 1000:.1f} ms, ratio {stalled / calm:.2f}",
            "ratio 1.2",
        )
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


def _read_all(lines: list[socket.socket]) -> list[float]:
    """Wait for a frame on each socket, and return the times."""
    times = []
    waiting = selectors.DefaultSelector()
    for line in lines:
        waiting.register(line, selectors.EVENT_READ)
    left = len(lines)
    while left:
        for key, _ in waiting.select(timeout=30):
            received = key.fileobj.recv(8192)  # type: ignore[union-attr]
            if len(received) < PADDING:
                continue  # a ping
            times.append(time.perf_counter())
            waiting.unregister(key.fileobj)
            left -= 1
    return times


def _bare_loop() -> list[float]:
    loop = subprocess.Popen(
        [sys.executable, "-c", BARE_LOOP, str(READERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert loop.stdin is not None and loop.stdout is not None
    port = int(loop.stdout.readline())
    loop.stdin.write(f"{PADDING}\n".encode())
    loop.stdin.flush()
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(READERS)]
    loop.stdout.readline()
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        lines[0].send(b"!")
        _read_all(lines)
        taken.append(time.perf_counter() - began)
    for line in lines:
        line.close()
    loop.wait(timeout=10)
    return taken


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


def _be_part_of(data: Path) -> None:
    """Connect this process to the system's own PostgreSQL and Redis."""
    os.environ["DATABASE_URL"] = Postgres(data).url("weelo")
    os.environ["REDIS_URL"] = Valkey(data).url()
    caches: tuple[Callable[[], None], ...] = (
        settings_module.settings.cache_clear,
        redis_client.redis.cache_clear,
        engines.drop_inherited_connections,
    )
    for forget in caches:
        forget()
