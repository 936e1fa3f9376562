"""A server in place of Google's server of public keys, and ID tokens that are signed with its keys."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

PROJECT = "weelo-tests"


@cache
def private_key(name: str) -> RSAPrivateKey:
    """Return the private key with this id. The first call for an id makes the key."""
    return generate_private_key(65_537, 2_048)


@cache
def certificate(name: str) -> str:
    """Return the certificate of this key, as Google publishes it."""
    key, owner = private_key(name), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(owner, owner, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=14))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def id_token(sub: str | None, *, role: str | None = "customer", key: str = "first", **changed: Any) -> str:
    """Return an ID token as Firebase makes it. A claim that is None is left out."""
    now = int(time.time())
    claims = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "auth_time": now,
        "user_id": sub,
        "sub": sub,
        "iat": now,
        "exp": now + 3_600,
        "role": role,
        "firebase": {"identities": {}, "sign_in_provider": "phone"},
        **changed,
    }
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, private_key(key), "RS256", headers={"kid": key})


class KeyServer:
    """A stand-in for the server on which Google publishes its public keys.

    `names`: the ids of the published keys. `answer`: `ok`, `unavailable` (503), `nonsense` (a certificate that cannot be
    parsed), `empty` (no key), `hang` (no answer) or `drip` (a byte every 0.2 s).
    """

    def __init__(self, *names: str) -> None:
        self.names, self.answer = list(names), "ok"
        self.cache_control = "public, max-age=19302, must-revalidate, no-transform"
        self.requests = 0
        self._stopped = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests += 1
                with suppress(OSError):
                    getattr(outer, f"_{outer.answer}")(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _ok(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, 200, json.dumps({name: certificate(name) for name in self.names}).encode())

    def _unavailable(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, 503, b"later")

    def _nonsense(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, 200, b'{"first": "no certificate"}')

    def _empty(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, 200, b"{}")

    def _hang(self, _: BaseHTTPRequestHandler) -> None:
        self._stopped.wait(30)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not self._stopped.wait(0.2):
            handler.wfile.write(b" ")

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("Cache-Control", self.cache_control)
        handler.end_headers()
        handler.wfile.write(body)
