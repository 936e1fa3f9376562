"""Sends requests as raw bytes, for requests that no HTTP library would send, and parses the responses."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.support.answer_checks import check_raw
from tests.support.tokens import token


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def exchange(port: int, request: bytes, *, half_close: bool = False, within: float = 10.0) -> list[Answer]:
    """Send these bytes on one connection, read until the server closes the connection, and return all responses.

    `half_close`: close the sending direction after the last byte. Raises TimeoutError if the server leaves the
    connection open.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=within) as line:
        received = b""
        with suppress(ConnectionError):
            line.sendall(request)
            if half_close:
                line.shutdown(socket.SHUT_WR)
            while chunk := line.recv(65_536):
                received += chunk
    answers = []
    while received:
        answer, received = _first(received)
        answers.append(answer)
    seen = [(answer.status, answer.headers, answer.body) for answer in answers]
    check_raw(request, seen, f"127.0.0.1:{port}")
    return answers


def _first(received: bytes) -> tuple[Answer, bytes]:
    head, separator, rest = received.partition(b"\r\n\r\n")
    assert separator, received
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = int(headers.get("content-length", 0))
    assert "transfer-encoding" not in headers
    assert len(rest) >= length, received
    return Answer(int(status.split()[1]), headers, rest[:length]), rest[length:]


def request(
    line: str,
    *headers: str,
    body: bytes = b"",
    role: str | None = "customer",
    content_type: str | None = "application/json",
    close: bool = True,
) -> bytes:
    """Return the bytes of a request: this first line, usual headers, further `headers` and a body."""
    lines = [f"{line} HTTP/1.1", "Host: here"]
    lines += [f"Authorization: Bearer {token(role, uuid4())}"] if role else []
    lines += [f"Content-Type: {content_type}"] if content_type else []
    lines += ["Connection: close"] if close else []
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Assert that the response is a problem+json with this status and code, and return its members."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert set(body) >= {"type", "title", "detail", "retryable"}
    return body
