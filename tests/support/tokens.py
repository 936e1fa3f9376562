"""Makes tokens: valid ones of a user, and any claims signed by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt

SECRET = "a secret for tests, long enough for HS256"

LATER = 4_000_000_000


def token(role: str, sub: UUID | str, *, ttl: float = 3600, secret: str = SECRET, **claims: Any) -> str:
    """Return a token of this user that expires in `ttl` seconds."""
    expires = datetime.now(UTC) + timedelta(seconds=ttl)
    return jwt.encode({"sub": str(sub), "role": role, "exp": expires, **claims}, secret, "HS256")


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a new user, with a late expiry. A claim that is None is left out."""
    everything = {"sub": str(uuid4()), "role": "customer", "exp": LATER, **changed}
    return {name: value for name, value in everything.items() if value is not None}


def signed(claims_to_sign: Any, secret: bytes | str = SECRET, **header: Any) -> str:
    """Sign with HS256 by hand, because libraries refuse to sign some tokens that a forger could make."""
    key = secret.encode() if isinstance(secret, str) else secret
    parts = [base64url(json.dumps({"alg": "HS256", "typ": "JWT", **header}).encode())]
    parts.append(
        base64url(
            claims_to_sign if isinstance(claims_to_sign, bytes) else json.dumps(claims_to_sign).encode()
        )
    )
    digest = hmac.new(key, ".".join(parts).encode(), hashlib.sha256).digest()
    return ".".join([*parts, base64url(digest)])


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
