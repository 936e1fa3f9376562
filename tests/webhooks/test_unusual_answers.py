"""Endpoints that answer in unusual ways: late, in many parts, or without end."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from weelo_workers.webhooks import posting


@contextmanager
def endpoint(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Yield the URL of a server. For each connection a thread reads once and then calls `answer`."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()


async def loopback(*_: object) -> list[str]:
    return ["127.0.0.1"]


async def post(url: str) -> posting.Attempt:
    return await posting.post(url, ["whsec_c2VjcmV0"], "id", b"{}", in_production=False, resolve=loopback)


def test_a_success_in_time_counts_although_the_body_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status arrives shortly before the attempt's time limit, but the body does not end within that limit."""
    monkeypatch.setattr(posting, "ATTEMPT_SECONDS", 2.0)

    def answer(connection: socket.socket) -> None:
        time.sleep(1.5)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        time.sleep(3)

    with endpoint(answer) as url:
        result = asyncio.run(post(url))
    assert (result.http_status, result.error) == (200, None)
    assert result.seconds < 2.5


def test_an_endpoint_that_sends_without_end_takes_little_time_from_others() -> None:
    """An endpoint may repeat interim responses (RFC 9110, section 15.2) without end.

    The event loop that parses them serves all posts, so parsing must not fill its time.
    """
    flood = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2_000

    def answer(connection: socket.socket) -> None:
        while True:
            connection.sendall(flood)

    async def longest_pause() -> tuple[float, list[posting.Attempt]]:
        longest = 0.0
        posts = asyncio.gather(*[post(url) for _ in range(10)])
        while not posts.done():
            began = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)
        return longest, await posts

    with endpoint(answer) as url:
        longest, answers = asyncio.run(longest_pause())
    assert all(each.http_status is None and each.error for each in answers)
    assert longest < 0.5
    assert max(each.seconds for each in answers) < 5
