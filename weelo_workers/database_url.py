"""Parses and checks database URLs with libpq, so that every form that `psql` accepts is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn

SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg2://")
SPECIAL = "write special characters of user and password percent-encoded, like %40 for @"
# libpq checks these parameters only when it connects, so their possible values are listed here for an earlier check.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
}
# Paths must be absolute, because the processes run in other directories than the command that reads the URL first.
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir", "passfile")
NUMBERS = (
    "connect_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)


def read(url: str) -> dict[str, str]:
    """Return libpq's parameters. Raises ValueError with one line that names the parameter but not its value."""
    if not url.startswith(SCHEMES):
        raise ValueError("must begin with postgresql://")
    try:
        parameters: dict[str, str] = parse_dsn("postgresql://" + url.partition("://")[2])
    except ProgrammingError as problem:
        unknown = re.search(r'invalid URI query parameter: "(\w{1,40})"', str(problem))
        if unknown:
            raise ValueError(f"PostgreSQL has no parameter {unknown[1]}; remove it from the URL") from None
        raise ValueError(f"is not a PostgreSQL URL; {SPECIAL}") from None
    if "@" in parameters.get("host", "") or re.search("[@/?]", parameters.get("dbname", "")):
        raise ValueError(SPECIAL)
    _check_values(parameters)
    if not parameters.get("dbname") and "service" not in parameters:
        raise ValueError("names no database; write postgresql://user:password@host:5432/database")
    return parameters


def _check_values(parameters: Mapping[str, str]) -> None:
    for port in parameters.get("port", "").split(","):
        if port and not (port.isdecimal() and 1 <= int(port) <= 65_535):
            raise ValueError("the port must be a number from 1 to 65535")
    for name, allowed in CHOICES.items():
        if name in parameters and parameters[name] not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}")
    for name in FILES:
        value = parameters.get(name, "/")
        if not value.startswith("/") and (name, value) != ("sslrootcert", "system"):
            raise ValueError(f"{name} must be an absolute path, such as /etc/ssl/ca.pem")
    for name in NUMBERS:
        if name in parameters and not parameters[name].isdecimal():
            raise ValueError(f"{name} must be a whole number")
