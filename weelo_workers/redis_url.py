"""Parses REDIS_URL and CELERY_BROKER_URL, with the same result for redis-py and for Celery.

The two libraries understand different parameters, give them different defaults (kombu does not verify certificates) and
write the address of a Unix socket differently. So redis-py parses the URL, and Celery gets the result as a URL without
TLS parameters and as `broker_use_ssl`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

SCHEMES = ("redis://", "rediss://", "unix://")
VERIFYING = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
TLS_PARAMETERS = (
    "ssl_cert_reqs",
    "ssl_check_hostname",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
)
FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
# Time-outs, retries and the protocol are set where the connection is made; a URL must not change them.
PARAMETERS = ("db", *TLS_PARAMETERS)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis listens. `path`: the path of a Unix socket. `tls`: redis-py's `ssl_…` arguments; None without TLS."""

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    path: str | None = None
    tls: Mapping[str, Any] | None = field(default=None, repr=False)

    def for_redis(self) -> dict[str, Any]:
        """Return arguments for `redis.Redis`."""
        where: dict[str, Any] = (
            {"unix_socket_path": self.path} if self.path else {"host": self.host, "port": self.port}
        )
        tls = {} if self.tls is None else {"ssl": True, **self.tls}
        return {**where, **tls, "db": self.db, "username": self.username, "password": self.password}

    def for_celery(self) -> dict[str, Any]:
        """Return Celery's settings `broker_url` and `broker_use_ssl`."""
        user, password = quote(self.username or "", safe=""), quote(self.password or "", safe="")
        login = f"{user}:{password}@" if user or password else ""
        if self.path:
            url = f"redis+socket://{login}{quote(self.path)}?virtual_host={self.db}"
            return {"broker_url": url, "broker_use_ssl": None}
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "redis" if self.tls is None else "rediss"
        tls = None if self.tls is None else dict(self.tls)
        return {"broker_url": f"{scheme}://{login}{host}:{self.port}/{self.db}", "broker_use_ssl": tls}


def read(url: str) -> RedisAddress:
    """Return the address. Raises ValueError with one line that names the parameter but not its value."""
    if not url.startswith(SCHEMES):
        raise ValueError(
            "must begin with redis:// or rediss:// (unix:// for a socket; a cluster is not supported)"
        )
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    for name, value in given:
        _check_parameter(name, value, parts.scheme)
    if parts.fragment or parts.netloc.count("@") > 1:
        raise ValueError("write special characters of user and password percent-encoded, like %23 for #")
    from redis.connection import parse_url  # noqa: PLC0415 (it imports OpenTelemetry: see otel_variables.py)

    read_by_redis = parse_url(_with_plain_requirement(url, given))  # type: ignore[no-untyped-call]
    if parts.scheme == "unix":
        if parts.hostname or not read_by_redis.get("path", "").strip("/"):
            raise ValueError("names no socket; write unix:///path/of/the/socket?db=0")
    elif not parts.path.strip("/").isdecimal() and parts.path.strip("/"):
        raise ValueError("the database must be a number, as in redis://host:6379/0")
    if not 0 <= read_by_redis.get("db", 0) < 1_000_000:
        raise ValueError("the database must be a number from 0 on")
    known = {name: read_by_redis[name] for name in _FIELDS if name in read_by_redis}
    tls = _tls(read_by_redis) if parts.scheme == "rediss" else None
    return RedisAddress(**known, tls=tls)


_FIELDS = ("host", "port", "db", "username", "password", "path")


def _check_parameter(name: str, value: str, scheme: str) -> None:
    # An unknown name may be a part of the password, so it is not shown.
    shown = name if name.isidentifier() and len(name) < 40 else "a parameter"
    if name not in PARAMETERS:
        raise ValueError(f"{shown} is not supported in the URL; remove it (allowed: {', '.join(PARAMETERS)})")
    if name in TLS_PARAMETERS and scheme != "rediss":
        raise ValueError(f"{shown} needs TLS; begin the URL with rediss://")
    if not value:
        raise ValueError(f"{shown} has no value")
    # A path must be absolute, because the processes run in other directories than the command that reads the URL first.
    if name in FILES and not value.startswith("/"):
        raise ValueError(f"{shown} must be an absolute path, such as /etc/ssl/ca.pem")


def _with_plain_requirement(url: str, given: list[tuple[str, str]]) -> str:
    """Return the URL with Celery's spelling of `ssl_cert_reqs` (CERT_REQUIRED) replaced by redis-py's (required)."""
    for name, value in given:
        if name == "ssl_cert_reqs":
            plain = value.lower().removeprefix("cert_")
            if plain not in VERIFYING:
                raise ValueError("ssl_cert_reqs must be required, optional or none")
            url = url.replace(f"ssl_cert_reqs={value}", f"ssl_cert_reqs={plain}")
    return url


def _tls(read_by_redis: Mapping[str, Any]) -> dict[str, Any]:
    """Return the TLS arguments, after a trial load of their files. By default the server's certificate is verified."""
    tls = {name: read_by_redis[name] for name in TLS_PARAMETERS if name in read_by_redis}
    verify = VERIFYING[tls.get("ssl_cert_reqs", "required")]
    tls["ssl_cert_reqs"] = verify
    # `ssl_check_hostname` is always set, because its default differs between versions of redis-py.
    tls["ssl_check_hostname"] = verify != ssl.CERT_NONE and tls.get("ssl_check_hostname", True)
    # This context only tests whether the files of the URL can be loaded. It makes no connection, so it does not load
    # the system's certificates.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if "ssl_ca_certs" in tls or "ssl_ca_path" in tls:
            context.load_verify_locations(tls.get("ssl_ca_certs"), tls.get("ssl_ca_path"))
    except (OSError, ssl.SSLError) as problem:
        raise ValueError(f"ssl_ca_certs must be a readable file in PEM form: {_reason(problem)}") from None
    if "ssl_keyfile" in tls and "ssl_certfile" not in tls:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    try:
        if "ssl_certfile" in tls:
            context.load_cert_chain(tls["ssl_certfile"], tls.get("ssl_keyfile"), tls.get("ssl_password", ""))
    except (OSError, ssl.SSLError) as problem:
        raise ValueError(
            f"ssl_certfile and ssl_keyfile must be a readable certificate and its key in PEM form: {_reason(problem)}"
        ) from None
    return tls


def _reason(problem: OSError) -> str:
    return problem.strerror or type(problem).__name__
