"""A light HTTP client: one thread sends prepared requests in a closed loop, so that the client costs little."""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any
from uuid import UUID, uuid4

from tests.support.tokens import token
from weelo_workers.contracts.statuses import Role

PATIENCE_SECONDS = 60.0

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_CLOSE = re.compile(rb"^connection: *close", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `status` 0: the connection was closed without one. `seconds`: from the request to the response."""

    status: int
    body: bytes
    seconds: float
    closes: bool = False
    """Whether the server closes the connection after this response."""

    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str,
    path: str,
    role: Role,
    who: UUID,
    body: Mapping[str, Any] | None = None,
    *,
    wait: int | None = None,
    key: bool = False,
) -> bytes:
    """Return a request of this user as bytes. `wait`: seconds for `Prefer`. `key`: add a new Idempotency-Key."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} /api/v1{path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token(role, who)}",
    ]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    if wait is not None:
        lines.append(f"Prefer: wait={wait}")
    if key:
        lines.append(f"Idempotency-Key: {uuid4()}")
    return "\r\n".join([*lines, "\r\n"]).encode() + content


class Connection:
    """A connection that is kept open and carries one request at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._sent_at = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, request: bytes) -> None:
        self._received, self._sent_at = b"", time.perf_counter()
        self._socket.sendall(request)

    def receive(self) -> Answer | None:
        """Read once, and return the response if it is complete, else None."""
        try:
            received = self._socket.recv(65_536)
        except ConnectionError:
            received = b""
        seconds = time.perf_counter() - self._sent_at
        if not received:
            return Answer(0, b"", seconds, closes=True)
        self._received += received
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = _LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return None
        return Answer(int(head[9:12]), body, seconds, closes=bool(_CLOSE.search(head)))

    def close(self) -> None:
        self._socket.close()


def closed_loop(port: int, requests: Iterable[bytes], clients: int, *, seconds: float = inf) -> list[Answer]:
    """Send requests on one connection per client. A client sends its next request when it has received a response.

    Ends when no request is left, or after `seconds`. Returns the responses that arrived by then, in the order of the
    requests.
    """
    numbered, answers = enumerate(requests), dict[int, Answer]()
    waiting, until = selectors.DefaultSelector(), time.perf_counter() + seconds

    def send_next(connection: Connection) -> None:
        number, following = next(numbered, (None, b""))
        if number is None:
            connection.close()
            return
        connection.send(following)
        waiting.register(connection, selectors.EVENT_READ, number)

    for _ in range(clients):
        send_next(Connection(port))
    while waiting.get_map() and (left := until - time.perf_counter()) > 0:
        ready = waiting.select(timeout=min(left, PATIENCE_SECONDS))
        if not ready and left > PATIENCE_SECONDS:
            raise TimeoutError(f"no response within {PATIENCE_SECONDS:.0f} s")
        for key, _ in ready:
            connection: Connection = key.fileobj  # type: ignore[assignment]
            if (answer := connection.receive()) is None:
                continue
            answers[key.data] = answer
            waiting.unregister(connection)
            if answer.closes:
                connection.close()
                connection = Connection(port)
            send_next(connection)
    for key in list(waiting.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]
    return [answers[number] for number in sorted(answers)]
