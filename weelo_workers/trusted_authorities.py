"""Checks the variables that name the certificate authorities that TLS connections of this process trust."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

FOR_WEBHOOKS = ("SSL_CERT_FILE", "SSL_CERT_DIR")
FOR_PUSHES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
FOR_TRACES = (
    *FOR_PUSHES,
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
)


def check(names: Iterable[str], given: Mapping[str, str]) -> None:
    """Raise ValueError with a line that names the first of these variables whose authorities cannot be loaded.

    Without this check every connection would fail, and a webhook would be disabled for a fault that is not its receiver's.
    """
    for name in names:
        value = given.get(name)
        if not value:
            continue
        if name == "SSL_CERT_DIR":
            # OpenSSL accepts a list of directories, and skips those that do not exist. So one existing directory is
            # enough.
            if not any(Path(entry).is_dir() for entry in value.split(os.pathsep)):
                raise ValueError(
                    f"{name}: must name a directory with certificates; there is no such directory"
                )
        elif not (name in FOR_PUSHES and Path(value).is_dir()):
            _load(name, value)


def _load(name: str, path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as problem:  # ssl.SSLError is an OSError with an unreadable `strerror`
        reason = "no certificate can be read" if isinstance(problem, ssl.SSLError) else problem.strerror
        raise ValueError(
            f"{name}: must name a readable file with certificates in PEM form: {reason}"
        ) from None
