"""`GET /api/v1/ws`: upgrades to a WebSocket and authenticates. Then session.py runs the session."""

from __future__ import annotations

import time
from functools import partial

from flask import Flask, Response, request
from simple_websocket import Server

from weelo_api.auth import Identity, token_of
from weelo_api.http import cors
from weelo_api.http.declared import rejects, sends
from weelo_api.http.errors import problem
from weelo_api.websocket import handshake, upgrade
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.hub import hub
from weelo_api.websocket.messages import Auth, parse
from weelo_api.websocket.session import SocketSession, identify
from weelo_api.websocket.transport import Disconnect, WebSocketTransport
from weelo_workers.contracts.rejections import Code, Rejected

PATH = "/api/v1/ws"
AUTH_WITHIN_SECONDS = 5.0


def register(app: Flask) -> None:
    sock = upgrade.sockets(app)

    @app.before_request
    def _at_the_door() -> Response | None:
        if request.path == PATH:
            unauthenticated = not request.headers.get("Authorization")
            if (refused := upgrade.refusal(unauthenticated=unauthenticated)) is not None:
                return refused
            if cors.is_foreign(request):
                return problem(Code.FORBIDDEN, "Pages of this origin may not open a socket (CORS_ORIGINS).")
            handshake.keep_only_what_is_needed(request)
        return None

    @sock.route(PATH)  # type: ignore[untyped-decorator]
    @sends(101, content_type=None, description="The connection is a WebSocket now (see `/asyncapi.json`).")
    @rejects(Code.SERVICE_UNAVAILABLE)
    def ws(server: Server) -> None:
        """Open the socket that carries the caller's events."""
        upgrade.hand_over(server, partial(serve_socket, authorization=request.headers.get("Authorization")))


async def serve_socket(transport: WebSocketTransport, authorization: str | None) -> None:
    """Authenticate a socket and run its session. Ends by raising Disconnect or PeerGone."""
    identity = await (_by_header(authorization) if authorization else _by_first_frame(transport))
    connection = SocketSession(transport, identity, hub().frames, hub().registry)
    with hub().registered(connection):
        await connection.run()


async def _by_header(authorization: str) -> Identity:
    # A bad token is refused after the upgrade, because WebSocket libraries report close codes but rarely a 401.
    try:
        token = token_of(authorization)
    except Rejected as rejected:
        raise Disconnect(CloseCode.UNAUTHORIZED, rejected.code.title) from None
    return await identify(token)


async def _by_first_frame(transport: WebSocketTransport) -> Identity:
    deadline = time.monotonic() + AUTH_WITHIN_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        await transport.wait(left)
        if (first := transport.next_message()) is not None:
            return await identify(_token_in(first))
    raise Disconnect(CloseCode.UNAUTHORIZED, "authenticate within 5 s")


def _token_in(message: str | bytes) -> str:
    try:
        op = parse(message)
    except Rejected as rejected:
        raise Disconnect(CloseCode.UNAUTHORIZED, rejected.code.title) from None
    if not isinstance(op, Auth):
        raise Disconnect(CloseCode.UNAUTHORIZED, Code.UNAUTHORIZED.title)
    return op.token
