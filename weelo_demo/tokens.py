"""Makes tokens for the people of the demo.

Usually a sign-in service issues tokens; the demo has the installation's secret.
"""

from __future__ import annotations

import time

import jwt

TOKEN_SECONDS = 3600.0  # tokens are valid for longer than any demo takes


def mint(
    secret: str,
    sub: str,
    role: str,
    ttl: float = TOKEN_SECONDS,
    name: str | None = None,
    phone: str | None = None,
    audience: str | None = None,
) -> str:
    """Return a bearer token (JWT, HS256) for the user `sub`, valid for `ttl` seconds."""
    claims: dict[str, object] = {"sub": sub, "role": role, "exp": int(time.time() + ttl)}
    claims |= {
        claim: value for claim, value in (("name", name), ("phone", phone), ("aud", audience)) if value
    }
    return jwt.encode(claims, secret, algorithm="HS256")
