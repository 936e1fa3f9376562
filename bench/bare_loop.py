"""A bare server for comparison. For each byte from its first client, it writes one frame to every client."""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.processes import tree_seconds

TURNS = 7
PADDING = 600  # the length of a frame in characters, about that of an offer

# The server makes the text of each frame separately, because each frame has its own `seq`, as in the users' logs.
SERVER = """
import json, socket, struct, sys
listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(listener.getsockname()[1], flush=True)
padding = "x" * int(sys.argv[2])
sockets = [listener.accept()[0] for _ in range(int(sys.argv[1]))]
print("all here", flush=True)
while sockets[0].recv(1):
    for seq, each in enumerate(sockets):
        data = {"broadcastId": "0" * 36, "number": 1, "padding": padding}
        frame = {"id": "0" * 36, "seq": seq, "event": "new_broadcast", "at": "0" * 24, "data": data}
        text = json.dumps(frame, separators=(",", ":")).encode()
        each.send(struct.pack("!BBH", 0x81, 126, len(text)) + text)
"""


def bare_loop(readers: int) -> tuple[list[float], float]:
    """Make the server write a frame to every reader, TURNS times. Return the durations, and the processor time.

    A duration is the seconds from a request until the last reader has its frame. The processor time is the server's, in
    seconds per frame.
    """
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(readers), str(PADDING)], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    port = int(server.stdout.readline())
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(readers)]
    server.stdout.readline()
    taken, before = [], tree_seconds(server.pid)
    for _ in range(TURNS):
        began = time.perf_counter()
        sockets[0].send(b"!")
        read_all(sockets)
        taken.append(time.perf_counter() - began)
    processor = (tree_seconds(server.pid) - before) / TURNS / readers
    for each in sockets:
        each.close()
    server.wait(timeout=10)
    server.stdout.close()
    return taken, processor


def read_all(sockets: Sequence[socket.socket]) -> list[float]:
    """Wait for a frame of at least PADDING bytes on each socket, and return when each one arrived (perf_counter)."""
    received_at = []
    with selectors.DefaultSelector() as waiting:
        for each in sockets:
            waiting.register(each, selectors.EVENT_READ)
        while left := len(waiting.get_map()):
            ready = waiting.select(timeout=30)
            if not ready:
                raise TimeoutError(f"{left} of {len(sockets)} frames were not received within 30 s")
            for key, _ in ready:
                received = key.fileobj.recv(8192)  # type: ignore[union-attr]
                if not received:
                    raise ConnectionError("the server closed a connection")
                if len(received) < PADDING:
                    continue  # a frame this short is a ping
                received_at.append(time.perf_counter())
                waiting.unregister(key.fileobj)
    return received_at
