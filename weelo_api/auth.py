"""Who is asking: bearer tokens (HS256) with `sub`, `role`, `exp` and optionally `name`, `phone`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt

from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.settings import settings

MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Identity:
    caller: Caller
    expires_at: datetime


def authenticate_header(header: str | None) -> Identity:
    """The identity behind an `Authorization` header. Raises Rejected(UNAUTHORIZED | TOKEN_EXPIRED)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Rejected(Code.UNAUTHORIZED, "Send Authorization: Bearer <token>.")
    return authenticate(token.strip())


def authenticate(token: str) -> Identity:
    """The identity behind a token. Raises Rejected(UNAUTHORIZED | TOKEN_EXPIRED)."""
    secret = settings().jwt_secret
    if secret is None:
        raise Rejected(Code.UNAUTHORIZED, "This installation has no JWT_SECRET: no token can be valid.")
    try:
        # The algorithm is ours to say, never the token's: `alg: none` and others are not looked at.
        claims = jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["sub", "role", "exp"]})
        return _identity(claims)
    except jwt.ExpiredSignatureError:
        raise Rejected(Code.TOKEN_EXPIRED, "Get a new token and try again.") from None
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError, OSError):
        # Why it is not valid is nobody's business who does not hold the secret.
        raise Rejected(Code.UNAUTHORIZED, "The token is not valid.") from None


def _identity(claims: dict[str, Any]) -> Identity:
    return Identity(
        Caller(
            UUID(claims["sub"]), Role(claims["role"]), _text(claims.get("name")), _text(claims.get("phone"))
        ),
        datetime.fromtimestamp(claims["exp"], UTC),
    )


def _text(claim: object) -> str | None:
    """What can be stored of it: no NUL, no lone surrogates, not endless."""
    if not isinstance(claim, str):
        return None
    return claim.encode("utf-8", "ignore").decode().replace("\x00", "")[:MAX_NAME] or None
