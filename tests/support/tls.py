"""Makes certificates, and puts a TLS proxy in front of a server without TLS."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.tcp_proxy import TcpProxy

A_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates. `file` contains the authority's own certificate, for `ssl_ca_certs`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(True, None), critical=True
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def certificate(self, host: str) -> Path:
        """Return a file with a new certificate for this host and the certificate's key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        builder = self._builder(subject, key).add_extension(
            x509.SubjectAlternativeName([name]), critical=False
        )
        signed = builder.sign(self._key, hashes.SHA256())
        file = self._folder / f"{host}-by-{self.file.stem}.pem"
        file.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - A_DAY)
            .not_valid_after(now + A_DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )


class TlsProxy(TcpProxy):
    """Decrypts what clients send, and forwards it to a server without TLS."""

    def __init__(
        self, server_url: str, certificate: Path, clients_signed_by: Path | None = None, listen: int = 0
    ) -> None:
        """Make a proxy. `certificate`: the file with its certificate and key.

        `clients_signed_by`: the file of an authority that must have signed the clients' certificates; without it, clients
        need none. `listen`: the port; 0 for any free one.
        """
        self._server = urlsplit(server_url)
        self.present(certificate)
        if clients_signed_by is not None:
            self._context.load_verify_locations(clients_signed_by)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self.received = b""
        """The decrypted bytes that clients have sent."""
        self.handshakes = self.refused = 0
        host, port = self._server.hostname, self._server.port
        assert host is not None and port is not None
        super().__init__(host, port, listen)

    def present(self, certificate: Path) -> None:
        """Use the certificate and key in this file for new connections. On these, clients need no certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._context = context

    def url(self, query: str = "", host: str = "127.0.0.1") -> str:
        login = self._server.netloc.rpartition("@")[0]
        return f"rediss://{login}@{host}:{self.port}{self._server.path}{query}"

    def _admit(self, client: socket.socket) -> tuple[socket.socket, bytes]:
        try:
            decrypted = self._context.wrap_socket(client, server_side=True)
        except OSError:
            self.refused += 1
            raise
        self.handshakes += 1
        return decrypted, b""

    def _from_client(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        self.received = (self.received + data)[-1_000_000:]
        return super()._from_client(data, client, server)
