"""A TCP proxy. Subclasses may look at a connection before it is forwarded, and at what the client sends."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from contextlib import suppress
from typing import Self


class TcpProxy:
    """Listens on a port of its own and forwards every connection to a server. Use as a context manager.

    `listen`: the port to listen on; 0 for any free one.
    """

    def __init__(self, host: str, port: int, listen: int = 0) -> None:
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", listen), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _admit(self, client: socket.socket) -> tuple[socket.socket, bytes]:
        """Return the socket to read from, and the first bytes for the server. Raises OSError to close the connection."""
        return client, b""

    def _from_client(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:  # noqa: ARG002 (subclasses use it)
        """Forward what the client sent. Return whether the connection goes on."""
        server.sendall(data)
        return True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError), accepted:
            client, first = self._admit(accepted)
            with client, socket.create_connection(self._to, timeout=5) as server:
                server.settimeout(None)
                server.sendall(first)
                self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """Forward in both directions until one side ends the connection."""
        with selectors.DefaultSelector() as either:
            either.register(client, selectors.EVENT_READ)
            either.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in either.select():
                    if key.fileobj is server:
                        data = server.recv(65_536)
                        client.sendall(data)
                    else:
                        data = _received(client)
                        if data and not self._from_client(data, client, server):
                            return
                    if not data:
                        return


def _received(client: socket.socket) -> bytes:
    data = client.recv(65_536)
    # The loop reads bytes that TLS has already decrypted, because these do not make the socket readable.
    while isinstance(client, ssl.SSLSocket) and client.pending():
        data += client.recv(65_536)
    return data
