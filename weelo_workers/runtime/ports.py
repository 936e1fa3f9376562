"""TCP ports: check whether one is free, and choose one for a server."""

from __future__ import annotations

import errno
import random
import socket

# These ports are below the range that the kernel uses for outgoing connections (Linux: from 32768, macOS: from 49152).
# Inside that range, a client that keeps connecting while its server restarts can be connected to itself, and then
# occupies the port.
SERVER_PORTS = range(20_000, 30_000)


def address_of(host: str) -> str:
    """Return the address that `host` names, an IPv4 one if it has any.

    The look-up is not left to gunicorn, which looks up IPv4 addresses only and would not find a name that has only IPv6
    addresses. Raises OSError or UnicodeError for a name that cannot be looked up.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    # A link-local address is usable only with the name of its interface, which `host` contains and the found address
    # does not.
    return host if family == socket.AF_INET6 and "%" in host else str(address[0])


def can_listen(host: str, port: int) -> bool:
    """Return whether the port is free. Raises OSError for an address of another machine, or a port reserved for root."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Servers set this option too. With it only a listener blocks the port. Connections in TIME_WAIT do not block
        # it.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return a port of 127.0.0.1 on which no process listens: the preferred one if it is free."""
    if preferred is not None and can_listen("127.0.0.1", preferred):
        return preferred
    for port in random.sample(SERVER_PORTS, k=len(SERVER_PORTS)):
        if can_listen("127.0.0.1", port):
            return port
    raise OSError(f"no free port between {SERVER_PORTS.start} and {SERVER_PORTS.stop}")
