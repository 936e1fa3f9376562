"""Starts PgBouncer in front of PostgreSQL, or a proxy that refuses the same startup parameters."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import eventually
from weelo_workers.runtime.ports import free_port

# Debian installs PgBouncer in /usr/sbin, which only root has in PATH.
PROGRAMS = f"{os.environ.get('PATH', '')}:/usr/sbin"
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
KNOWN = {
    "user",
    "database",
    "client_encoding",
    "datestyle",
    "timezone",
    "standard_conforming_strings",
    "application_name",
}


class RefusingProxy(TcpProxy):
    """Refuses a connection whose startup message has a parameter that PgBouncer does not know, and forwards all others.

    `ignored`: parameters that are dropped instead of passed on or refused, like those in `ignore_startup_parameters`.
    """

    def __init__(self, url: str, ignored: frozenset[str] = frozenset()) -> None:
        to, self._ignored = make_url(url), ignored
        self.accepted = self.refused = 0
        super().__init__(to.host or "127.0.0.1", to.port or 5432)
        self.url = to.set(port=self.port).render_as_string(False)

    def _admit(self, client: socket.socket) -> tuple[socket.socket, bytes]:
        code, rest = _packet(client)
        while code in (SSL_REQUEST, GSS_REQUEST):
            client.sendall(b"N")
            code, rest = _packet(client)
        words = rest.split(b"\0")
        given = {name.decode(): value for name, value in zip(words[::2], words[1::2], strict=False) if name}
        for name in given:
            if name not in KNOWN | self._ignored:
                self.refused += 1
                fields = f"SFATAL\0C08P01\0Munsupported startup parameter: {name}\0\0".encode()
                client.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)
                raise ConnectionRefusedError
        self.accepted += 1
        body = b"".join(
            name.encode() + b"\0" + value + b"\0"
            for name, value in given.items()
            if name not in self._ignored
        )
        return client, struct.pack("!II", len(body) + 9, code) + body + b"\0"


def _packet(client: socket.socket) -> tuple[int, bytes]:
    head = client.recv(8, socket.MSG_WAITALL)
    if len(head) < 8:
        raise OSError("the client has gone")
    length, code = struct.unpack("!II", head)
    return code, client.recv(length - 8, socket.MSG_WAITALL) if length > 8 else b""


@contextmanager
def pgbouncer(url: str, *others: str, **settings: str) -> Iterator[str]:
    """Run a real PgBouncer in transaction mode, and yield `url` with PgBouncer's address instead of PostgreSQL's.

    `others`: URLs of the same server. Their roles may also connect through PgBouncer.
    """
    program = shutil.which("pgbouncer", path=PROGRAMS)
    assert program is not None
    to, port = make_url(url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="weelo-pgbouncer-"))
    folder.chmod(0o755)
    roles = [make_url(each) for each in (url, *others)]
    (folder / "users").write_text("".join(f'"{role.username}" "{role.password}"\n' for role in roles))
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "plain",
        "auth_file": str(folder / "users"),
        "pool_mode": "transaction",
        **settings,
    }
    (folder / "ini").write_text(
        f"[databases]\n* = host={to.host} port={to.port}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in lines.items())
    )
    process = subprocess.Popen(
        [program, "--quiet", "--user=nobody", str(folder / "ini")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def listens() -> bool:
        assert process.poll() is None, "pgbouncer has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        eventually(listens)
        yield to.set(port=port, host="127.0.0.1").render_as_string(False)
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
