"""A TCP proxy that can drop a connection after the server has executed a statement and before its answer arrives."""

from __future__ import annotations

import socket

from tests.support.tcp_proxy import TcpProxy


class CuttingProxy(TcpProxy):
    def __init__(self, host: str, port: int) -> None:
        self._fatal: bytes | None = None
        self._times = 0
        self._for_good = self._answered = False
        self.cuts = 0
        self.dead = False
        """Whether new connections are closed at once."""
        super().__init__(host, port)

    def cut_after(
        self, words: bytes, *, times: int = 1, for_good: bool = False, answered: bool = False
    ) -> None:
        """Forward the next `times` packets that contain these words, drop the server's answers, and end the connections.

        `for_good`: refuse all connections afterwards. `answered`: forward the answer before ending the connection.
        """
        self._fatal, self._times, self._for_good, self._answered = words, times, for_good, answered

    def _admit(self, client: socket.socket) -> tuple[socket.socket, bytes]:
        if self.dead:
            raise ConnectionRefusedError
        return super()._admit(client)

    def _from_client(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        server.sendall(data)
        if self._times <= 0 or self._fatal is None or self._fatal not in data:
            return True
        self._times -= 1
        self.dead = self._for_good and self._times == 0
        # Wait for the answer before ending the connection: it shows that the server has executed the statement.
        answer = server.recv(65_536)
        if self._answered:
            client.sendall(answer)
        self.cuts += 1
        return False
