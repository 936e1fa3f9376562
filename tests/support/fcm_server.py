"""A small server that speaks FCM's HTTP v1 protocol, including its errors and delays."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support import message_checks

# The type of the detail in FCM's error bodies from which firebase-admin reads the error code.
_DETAIL = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class FcmServer:
    """A stand-in for FCM. `received`: the messages accepted, oldest first.

    `answers[token]`: the answer to every message for this token, or a list with one answer for each message.

    Answers are `ok`, `unregistered`, `foreign` (another sender's token), `quota` (429), `unavailable` (503), `invalid`,
    `hang` (no answer), `drip` (a byte every 0.1 s), `slow` (`ok` when `let_go` is set) and `cut` (closes the connection).
    """

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.asked: list[tuple[float, str]] = []
        self.answers: dict[str, str | list[str]] = {}
        self.retry_after: str | None = None
        self.let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                message = body["message"]
                message_checks.check_push(message["data"])
                outer.asked.append((time.monotonic(), message["token"]))
                getattr(outer, f"_{outer._next(message['token'])}")(self, message)

            def log_message(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()

    def tokens(self) -> list[str]:
        return [message["token"] for message in self.received]

    def delivered_to(self, token: str) -> list[str]:
        """Return the types of the messages accepted for this token, in the order of their acceptance."""
        return [message["data"]["type"] for message in self.received if message["token"] == token]

    def _next(self, token: str) -> str:
        answer = self.answers.get(token, "ok")
        if isinstance(answer, list):
            return answer.pop(0) if answer else "ok"
        return answer

    # --- answers --------------------------------------------------------------------------------------------

    def _ok(self, handler: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        self.received.append(message)
        self._say(handler, 200, {"name": f"projects/weelo/messages/{len(self.received)}"})

    def _unregistered(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        self._say(handler, 404, self._error(404, "NOT_FOUND", "UNREGISTERED"))

    def _foreign(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        self._say(handler, 403, self._error(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"))

    def _quota(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        self._say(handler, 429, self._error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"))

    def _unavailable(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        self._say(handler, 503, self._error(503, "UNAVAILABLE", "UNAVAILABLE"))

    def _invalid(self, handler: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        quoted = f"Invalid value at 'message.token': {message['token']}"
        self._say(handler, 400, self._error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", quoted))

    def _hang(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        self.let_go.wait(30)
        handler.close_connection = True

    def _drip(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        handler.close_connection = True
        with suppress(OSError):
            for byte in b"HTTP/1.1 200 OK\r\nX-And-So-On: " + b"." * 40:
                handler.wfile.write(bytes([byte]))
                if self.let_go.wait(0.1):
                    return

    def _slow(self, handler: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        self.let_go.wait(30)
        self._ok(handler, message)

    def _cut(self, handler: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
        handler.close_connection = True
        handler.connection.close()

    def _say(self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        if status in (429, 503) and self.retry_after is not None:
            handler.send_header("Retry-After", self.retry_after)
        handler.end_headers()
        handler.wfile.write(text)

    @staticmethod
    def _error(code: int, status: str, fcm: str, message: str = "no") -> dict[str, Any]:
        details = [{"@type": _DETAIL, "errorCode": fcm}]
        return {"error": {"code": code, "message": message, "status": status, "details": details}}
