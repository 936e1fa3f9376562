"""The secrets of webhooks, and the signatures that are made with them (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

OLD_SECRET_VALID_FOR = timedelta(hours=24)
MAX_OLD_SECRETS = 5
"""The limit on old secrets that are still valid. Each adds a signature to the header."""


def secret(key: bytes, webhook_id: UUID, version: int) -> str:
    """Return the secret `whsec_…` of a version. It is derived from the key, so it is stored nowhere."""
    derived = hmac.new(key, f"webhook {webhook_id} secret {version}".encode(), hashlib.sha256)
    return f"whsec_{base64.b64encode(derived.digest()).decode()}"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature, `v1,…`, of the header `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def valid(old_secrets: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return those of the old secrets `{version, until}` that are still valid, oldest first."""
    return [each for each in old_secrets if valid_until(each) > now]


def valid_until(old_secret: dict[str, Any]) -> datetime:
    """Return until when this old secret is valid."""
    return datetime.fromisoformat(old_secret["until"])


def signing_versions(newest: int, old_secrets: Sequence[dict[str, Any]], now: datetime) -> tuple[int, ...]:
    """Return the versions of the secrets that sign a message, newest first."""
    return (newest, *(each["version"] for each in reversed(valid(old_secrets, now))))
