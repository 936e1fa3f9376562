"""A real API process and its WebSocket clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import UUID, uuid4

import websocket

from tests.support.tokens import token
from tests.support.waiting import eventually
from weelo_workers.runtime.ports import free_port


class Api:
    """The API under gunicorn, as in production, on a free port."""

    def __init__(self, workers: int = 1, *, log: Path | None = None, **environment: str) -> None:
        """Start an API process and wait until it answers. `log`: a file for its output, instead of the terminal."""
        self.port = free_port()
        options = (f"--bind=127.0.0.1:{self.port}", f"--workers={workers}", "--threads=128")
        command = (
            sys.executable,
            "-m",
            "gunicorn",
            "--config=python:weelo_api.server.gunicorn",
            "--log-level=warning",
        )
        with log.open("w") if log else contextlib.nullcontext() as file:
            self.process = subprocess.Popen(
                [*command, *options],
                env={**os.environ, **environment},
                stdout=file,
                stderr=subprocess.STDOUT if log else None,
            )
        eventually(self._answers, within=30)

    def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/healthz"
        with contextlib.suppress(OSError), urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def metric(self, name: str) -> float:
        """Return the value of a metric from `/metrics`."""
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def connect(self, header: str | None = None, **options: Any) -> Client:
        headers = [f"Authorization: {header}"] if header else []
        url = f"ws://127.0.0.1:{self.port}/api/v1/ws"
        return Client(websocket.create_connection(url, header=headers, timeout=10, **options))

    def connect_as(self, user_id: UUID | None = None, role: str = "customer", **options: Any) -> Client:
        """Return an authenticated client that has received the frame `connected`."""
        client = self.connect(f"Bearer {token(role, user_id or uuid4())}", **options)
        client.greeting = client.frame()
        assert client.greeting["event"] == "connected", client.greeting
        return client

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and wait until the process has ended. Return how many seconds that took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=20)
        return time.monotonic() - began


class Client:
    """A WebSocket client."""

    greeting: dict[str, Any]

    def __init__(self, ws: websocket.WebSocket) -> None:
        self.ws = ws

    def send(self, **op: Any) -> None:
        self.ws.send(json.dumps(op))

    def _next(self, within: float) -> dict[str, Any] | int:
        """Return the next frame, or the code with which the server closed. Raises TimeoutError after `within` seconds."""
        self.ws.settimeout(within)
        while True:
            try:
                opcode, frame = self.ws.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException:
                raise TimeoutError(f"nothing came within {within} s") from None
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(frame.data[:2])
            if opcode == websocket.ABNF.OPCODE_TEXT:
                answer: dict[str, Any] = json.loads(frame.data)
                return answer

    def frame(self, within: float = 5.0) -> dict[str, Any]:
        frame = self._next(within)
        assert isinstance(frame, dict), f"closed with {frame}"
        return frame

    def seqs(self, count: int, within: float = 10.0) -> list[int]:
        """Return the `seq` of the next `count` frames."""
        return [self.frame(within)["seq"] for _ in range(count)]

    def is_silent(self) -> bool:
        """Send a ping and return whether the next frame is the pong."""
        self.send(op="ping")
        return self.frame()["event"] == "pong"

    def close_code(self, within: float = 10.0) -> int:
        """Read until the server closes, and return the close code."""
        deadline = time.monotonic() + within
        while isinstance(frame := self._next(max(0.01, deadline - time.monotonic())), dict):
            pass
        self.ws.close()
        return frame

    def disconnect(self) -> None:
        self.ws.close()
