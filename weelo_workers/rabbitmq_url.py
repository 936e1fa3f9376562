"""Parses a CELERY_BROKER_URL that names RabbitMQ, and returns Celery's settings for it."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

SCHEMES = ("amqp://", "amqps://")
CA_FILE = "ssl_ca_certs"


def is_rabbitmq(url: str) -> bool:
    return url.startswith(SCHEMES)


def check(url: str) -> None:
    """Raise ValueError with one line that names what is wrong, but shows no part of the URL that may be a password."""
    parts = urlsplit(url)
    # A semicolon is refused, because Celery would take what follows as a second URL.
    if parts.fragment or parts.netloc.count("@") > 1 or ";" in url:
        raise ValueError("write special characters of user and password percent-encoded, like %23 for #")
    if not parts.hostname:
        raise ValueError("names no host; write amqp://user:password@host:5672/virtual-host")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name != CA_FILE:
            raise ValueError(f"the only parameter that a URL of RabbitMQ may have is {CA_FILE}")
        if parts.scheme != "amqps":
            raise ValueError(f"{CA_FILE} needs TLS; begin the URL with amqps://")
        # The path must be absolute, because the processes run in other directories than the command that reads the URL
        # first.
        if not value.startswith("/"):
            raise ValueError(f"{CA_FILE} must be an absolute path, such as /etc/ssl/ca.pem")
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ssl.SSLError):
            raise ValueError(f"{CA_FILE} must be a readable file in PEM form") from None


def for_celery(url: str) -> dict[str, Any]:
    """Return Celery's settings `broker_url` and `broker_use_ssl`. With `amqps://` the server's certificate is verified."""
    parts = urlsplit(url)
    if parts.scheme == "amqp":
        return {"broker_url": url, "broker_use_ssl": None}
    context: dict[str, Any] = {"check_hostname": True}
    for name, value in parse_qsl(parts.query):
        if name == CA_FILE:
            context["cafile"] = value
    return {
        "broker_url": urlunsplit(parts._replace(query="")),
        "broker_use_ssl": {"context": context, "server_hostname": parts.hostname},
    }
