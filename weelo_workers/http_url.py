"""Checks of URLs whose host this system connects to."""

from __future__ import annotations

from urllib.parse import urlsplit


def check(url: str) -> None:
    """Raise ValueError with a line that says what is wrong, unless `url` is an HTTP address that can be called."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    check_host_and_port(url)
    parts = urlsplit(url)
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an address like https://host:port, without ? or #")


def check_origin(origin: str) -> None:
    """Raise ValueError unless `origin` is a web origin in exactly the form in which browsers send it (RFC 6454)."""
    check(origin)
    scheme, _, authority = origin.partition("://")
    default_port = ":443" if scheme == "https" else ":80"
    if origin != origin.lower() or set(authority) & set("/@*\\") or authority.endswith((default_port, ":")):
        raise ValueError(
            "give origins such as https://ops.example.com or http://localhost:5173: in lower case, and without a path, "
            "a slash at the end or the default port"
        )


def check_host_and_port(url: str) -> None:
    """Raise ValueError for an invalid port, and for a host name that cannot be encoded for a look-up."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # urlsplit also raises ValueError for a host in brackets that is no IPv6 address
        port = 0
    if port == 0:
        raise ValueError(
            "the port must be a number from 1 to 65535 (write special characters of a password percent-encoded)"
        )
    try:
        # `socket` encodes a host name as IDNA before a look-up. The encoding is tried here, because later a
        # UnicodeError from `socket` would not be handled as a network error.
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError("the host has an empty or too long part between two dots") from None
