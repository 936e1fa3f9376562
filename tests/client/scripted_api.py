"""A small API for tests of the client: it gives scripted responses and records the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from simple_websocket import ConnectionClosed, Server

from tests.support import message_checks

HANG_UP = "hang up without an answer"
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | str


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class ScriptedApi:
    """A scripted server. `answers`: one per request; the last one is repeated.

    A body of bytes is sent as it is, any other body as JSON.

    `on_socket`: one function per socket, which sends frames as the server and receives the client's messages.
    """

    answers: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    on_socket: list[Callable[[Socket], None]] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    url: str = ""

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Socket:
    """The server's end of one socket."""

    def __init__(self, server: Server, authorization: str) -> None:
        self._server = server
        self.authorization = authorization
        self.received: list[dict[str, Any]] = []

    def connected(self, seq: int) -> None:
        self.send("connected", {"userId": "u", "role": "customer", "seq": seq, "heartbeatSeconds": 20})

    def send(self, event: str, data: dict[str, Any] | None = None, seq: int | None = None) -> None:
        frame: dict[str, Any] = {"event": event, "at": "2026-02-19T10:00:00.000Z", "data": data or {}}
        if seq is not None:
            frame |= {"seq": seq, "id": f"event {seq}"}
        self._server.send(json.dumps(frame))

    def send_text(self, text: str) -> None:
        self._server.send(text)

    def receive(self, op: str) -> dict[str, Any]:
        """Return the next message with this op. All received messages are recorded in `received`."""
        while True:
            text = self._server.receive(timeout=5)
            assert text is not None, f"the client did not send {op}"
            message: dict[str, Any] = json.loads(text)
            self.received.append(message)
            if message["op"] == op:
                return message

    def close(self, code: int) -> None:
        # The server reads what the client has sent before it closes. Otherwise TCP would reset the connection, and the
        # client might see the reset before the close frame.
        self.receive("resume")
        self._server.close(code)

    def wait_until_closed(self) -> None:
        with suppress(ConnectionClosed):
            while self._server.receive(timeout=5) is not None:
                pass


def _handler(api: ScriptedApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            if self.path == "/api/v1/ws":
                self.socket()
                return
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else None
            api.requests.append(Request(self.command, self.path, dict(self.headers), body))
            answer = api.next_answer()
            if isinstance(answer, str):
                self.close_connection = True
                return
            status, json_body, headers = (*answer, {})[:3]
            payload = json_body if isinstance(json_body, bytes) else json.dumps(json_body).encode()
            self.send_response(status)
            kind = "application/problem+json" if status >= 400 else "application/json"
            for name, value in {"Content-Type": kind, "Content-Length": str(len(payload)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        def socket(self) -> None:
            self.close_connection = True
            environ = {
                f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()
            }
            server = Server({**environ, "werkzeug.socket": self.connection})
            end = Socket(server, self.headers["Authorization"])
            api.sockets.append(end)
            with suppress(ConnectionClosed):
                api.on_socket.pop(0)(end)
                server.close()

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[ScriptedApi]:
    scripted = ScriptedApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(scripted))
    server.daemon_threads = True
    scripted.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with message_checks.scripted(server.server_address[1]):
        yield scripted
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)
