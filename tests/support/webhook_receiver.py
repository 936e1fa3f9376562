"""A small server that receives webhooks, and an endpoint that accepts connections and never answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.support.message_checks import check_frame


@dataclass(frozen=True)
class Message:
    """A request as it was received. `at`: when its body had arrived, by the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def frame(self) -> dict[str, Any]:
        return json.loads(self.body)

    def verify(self, secret: str) -> None:
        """Raise WebhookVerificationError unless the public library accepts the signature."""
        Webhook(secret).verify(self.body, self.headers)


class Server(ThreadingHTTPServer):
    request_queue_size = 1_000
    daemon_threads = True


class WebhookReceiver:
    """Records every request in `messages`, and answers with the status that `answer` returns for it (default: `status`).

    A negative status closes the connection without a response. `seconds`: the delay before each answer.
    """

    def __init__(self, port: int = 0) -> None:
        self.messages: list[Message] = []
        self.status, self.seconds = 200, 0.0
        self.answer: Callable[[Message], int] = lambda _: self.status
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        self.at_once = self.most_at_once = 0
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with lock:
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                message = Message(self.path, headers, body)
                check_frame(body)
                with lock:
                    outer.messages.append(message)
                time.sleep(outer.seconds)
                status = outer.answer(message)
                with lock:
                    outer.at_once -= 1
                self.close_connection = True
                if status < 0:
                    return
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def seqs(self, path: str = "/hook") -> list[int]:
        """Return the `seq` of each message, in the order of arrival."""
        return [each.frame["seq"] for each in list(self.messages) if each.path == path]

    def events(self) -> list[str]:
        return [each.frame["event"] for each in list(self.messages)]


class SilentEndpoint:
    """Accepts any number of connections, and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=4_000)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/silent"
        self._accepted: list[socket.socket] = []

    def wait_for_a_connection(self, within: float = 10.0) -> None:
        """Accept one connection, and keep it open. Raises TimeoutError if none comes."""
        self._socket.settimeout(within)
        self._accepted.append(self._socket.accept()[0])

    def close(self) -> None:
        for each in (*self._accepted, self._socket):
            each.close()
