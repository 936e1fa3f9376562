"""`GET /api/v1/ws`: the upgrade, who it is, and then the conversation (connection.py)."""

from __future__ import annotations

import time

from flask import Flask, Response, request
from flask_sock import Sock
from simple_websocket import Server
from wsproto.utilities import RemoteProtocolError

from weelo_api.auth import Identity, authenticate, authenticate_header
from weelo_api.channel import GOING_AWAY, UNAUTHORIZED, Channel, Farewell, Gone
from weelo_api.connection import Connection
from weelo_api.errors import refuse
from weelo_api.frames import Auth, parse
from weelo_api.hub import hub
from weelo_api.line import reader_thread
from weelo_workers.contracts.rejections import Code, Rejected

PATH = "/api/v1/ws"
AUTH_WITHIN_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.25  # whether we are closing: the hub knows only sockets whose user is known
# A peer that is gone is noticed when the second ping is due: within 36 s.
PING_SECONDS = 18


def register(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "thread_class": reader_thread}
    sock = Sock(app)

    @app.before_request
    def _no_compression() -> None:
        # permessage-deflate costs 100 KB per socket, and lets 8 KiB on the wire be megabytes here.
        if request.path == PATH:
            request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)

    @app.errorhandler(RemoteProtocolError)
    def _no_websocket(_error: RemoteProtocolError) -> Response:
        return refuse(Code.VALIDATION_ERROR, "This is no WebSocket handshake of RFC 6455.")

    @sock.route(PATH)  # type: ignore[untyped-decorator]
    def ws(server: Server) -> None:
        serve(Channel(server), request.headers.get("Authorization"))


def serve(channel: Channel, authorization: str | None) -> None:
    """One socket from its handshake to its end."""
    try:
        identity = _by_header(authorization) if authorization else _by_first_frame(channel)
        connection = Connection(channel, identity, hub())
        with hub().hosting(connection):
            connection.hold()
    except Farewell as farewell:
        channel.close(farewell.code, farewell.reason)
    except Gone:
        channel.end()


def _by_header(authorization: str) -> Identity:
    # Refused after the upgrade and not by a 401: an app's WebSocket sees close codes, but rarely the status.
    try:
        return authenticate_header(authorization)
    except Rejected as rejected:
        raise Farewell(UNAUTHORIZED, rejected.code.title) from None


def _by_first_frame(channel: Channel) -> Identity:
    deadline = time.monotonic() + AUTH_WITHIN_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        channel.wait(min(left, LOOK_EVERY_SECONDS))
        if hub().closing:
            raise Farewell(GOING_AWAY, "the server is restarting")
        if first := channel.take(1):
            return _by_token(first[0])
    raise Farewell(UNAUTHORIZED, "say who you are within 5 s")


def _by_token(message: str | bytes) -> Identity:
    try:
        op = parse(message)
        if not isinstance(op, Auth):
            raise Rejected(Code.UNAUTHORIZED)  # noqa: TRY301 (one place answers all refusals)
        return authenticate(op.token)
    except Rejected as rejected:
        raise Farewell(UNAUTHORIZED, rejected.code.title) from None
