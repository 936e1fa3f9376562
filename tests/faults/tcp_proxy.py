"""A TCP proxy that can drop a connection after the server has executed a statement and before its answer arrives."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress


class TcpProxy:
    """Listens on its own port and forwards everything. Use as a context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._fatal: bytes | None = None
        self._times = 0
        self.cuts = 0
        self.dead = False
        """Whether new connections are closed at once."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def cut_after(
        self, words: bytes, *, times: int = 1, for_good: bool = False, answered: bool = False
    ) -> None:
        """For the next `times` packets with these words: forward them, drop the server's answer, and end the connection.
        `for_good`: refuse all connections afterwards. `answered`: forward the answer before ending the connection."""
        self._fatal, self._times, self._for_good, self._answered = words, times, for_good, answered

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.dead:
                return
            with socket.create_connection(self._to, timeout=5) as server:
                self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as either:
            either.register(client, selectors.EVENT_READ)
            either.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in either.select():
                    said = key.fileobj.recv(65536)
                    if not said:
                        return
                    if key.fileobj is client and self._is_fatal(said):
                        server.sendall(said)
                        answer = server.recv(65536)  # the server has executed it
                        if self._answered:
                            client.sendall(answer)
                        self.cuts += 1
                        return
                    (server if key.fileobj is client else client).sendall(said)

    def _is_fatal(self, said: bytes) -> bool:
        if self._times <= 0 or self._fatal is None or self._fatal not in said:
            return False
        self._times -= 1
        self.dead = self._for_good and self._times == 0
        return True
