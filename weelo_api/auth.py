"""Authentication by bearer tokens (JWT, HS256) with `sub`, `role`, `exp` and optionally `name`, `phone`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.settings import settings

MAX_NAME = 100
# How far the clock of a sign-in service may differ from ours.
LEEWAY = timedelta(seconds=30)


# Some libraries encode "never expires" as the last second of the year 9999. Adding the leeway to it would overflow.
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    caller: Caller
    expires_at: datetime
    """The token is refused from this time on. The leeway is included."""


def authenticate_header(header: str | None) -> Identity:
    """Return the identity in an `Authorization` header. Raises Rejected(UNAUTHORIZED | TOKEN_EXPIRED)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Rejected(Code.UNAUTHORIZED, "Send Authorization: Bearer <token>.")
    return authenticate(token.strip())


def authenticate(token: str) -> Identity:
    """Return the identity in a token. Raises Rejected(UNAUTHORIZED | TOKEN_EXPIRED)."""
    secret = settings().jwt_secret
    if secret is None:
        raise Rejected(Code.UNAUTHORIZED, "This installation has no JWT_SECRET: no token can be valid.")
    try:
        # The algorithm is fixed, because a forged token may name another one, such as `alg: none`.
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=settings().jwt_audience,
            leeway=LEEWAY,
            options={
                "require": ["sub", "role", "exp"],
                # `iat` and `jti` do not limit a token's validity (RFC 7519, sections 4.1.6 and 4.1.7).
                "verify_iat": False,
                "verify_jti": False,
                "verify_aud": settings().jwt_audience is not None,
            },
        )
        return _identity(claims)
    except jwt.ExpiredSignatureError:
        raise Rejected(Code.TOKEN_EXPIRED, "Get a new token and try again.") from None
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError, OSError):
        # The answer gives no reason, because a reason would help to forge tokens.
        raise Rejected(Code.UNAUTHORIZED, "The token is not valid.") from None


def _identity(claims: dict[str, Any]) -> Identity:
    return Identity(
        Caller(
            UUID(claims["sub"]), Role(claims["role"]), _text(claims.get("name")), _text(claims.get("phone"))
        ),
        min(datetime.fromtimestamp(claims["exp"], UTC), _LATEST - LEEWAY) + LEEWAY,
    )


def _text(claim: object) -> str | None:
    """Return at most MAX_NAME characters of the claim, without those that PostgreSQL cannot store (NUL, surrogates)."""
    if not isinstance(claim, str):
        return None
    return claim.encode("utf-8", "ignore").decode().replace("\x00", "")[:MAX_NAME] or None
