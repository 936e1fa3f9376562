"""When a failed delivery of a webhook is tried again, and how a delivery is signed (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta
from uuid import UUID

RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0)
"""The pauses after the first, the second, … failed attempt. The last one is repeated."""

GIVE_UP_AFTER = timedelta(hours=24)
"""A webhook is disabled when an attempt fails this long after the first failure in a row."""

OLD_SECRET_VALID_FOR = timedelta(hours=24)
MAX_OLD_SECRETS = 5
"""The limit on old secrets that are still valid. Each adds a signature to the header."""


def retry_delay(failures: int, spread: float) -> timedelta:
    """Return the pause after this many failures in a row. `spread`: a factor around 1."""
    return timedelta(seconds=RETRY_SECONDS[min(max(failures, 1), len(RETRY_SECONDS)) - 1] * spread)


def secret(key: bytes, webhook_id: UUID, version: int) -> str:
    """Return the secret `whsec_…` of a version. It is derived from the key, so it is stored nowhere."""
    derived = hmac.new(key, f"webhook {webhook_id} secret {version}".encode(), hashlib.sha256)
    return f"whsec_{base64.b64encode(derived.digest()).decode()}"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return one signature, `v1,…`, of the header `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
