"""Upgrades a request to a WebSocket and hands it to the hub."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from typing import Any

from flask import Flask, Response, request
from flask_sock import Sock
from simple_websocket import Server
from werkzeug.exceptions import MethodNotAllowed

from weelo_api.http.errors import problem
from weelo_api.websocket import handshake
from weelo_api.websocket.hub import hub
from weelo_api.websocket.transport import WebSocketTransport
from weelo_workers.contracts.rejections import Code

__all__ = ["Server", "hand_over", "refusal", "sockets"]


class UnstartedThread:
    """Keeps simple-websocket from starting a thread that reads the socket: only the library's handshake is used."""

    name = ""

    def __init__(self, **_: Any) -> None: ...

    def start(self) -> None: ...


def sockets(app: Flask) -> Sock:
    """Return the object that adds routes of WebSockets to this app."""
    app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": UnstartedThread}
    return Sock(app)


def refusal(*, unauthenticated: bool) -> Response | None:
    """Return the error response to a request that may not be upgraded; None if it may. Raises MethodNotAllowed."""
    if request.method != "GET":
        raise MethodNotAllowed(["GET"])
    if not hub().has_capacity(unauthenticated=unauthenticated):
        return problem(Code.SERVICE_UNAVAILABLE, "Too many sockets are open. Try again.", retryAfter=5)
    return handshake.refusal(request)


def hand_over(server: Server, converse: Callable[[WebSocketTransport], Coroutine[Any, Any, None]]) -> None:
    """Give the connection to the hub, which runs `converse`. The request ends, and its thread is free again."""
    line = socket.socket(fileno=server.sock.detach())
    server.connected = False
    hub().serve(line, server.ws, converse)
