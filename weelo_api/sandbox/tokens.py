"""Issues tokens to every caller. A sandbox has no data that need protection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.settings import settings

# The expiry of tokens is compared with the real time, so tokens do not expire when the clock is moved.
LIFETIME = timedelta(days=30)


def issue(role: Role, user_id: UUID) -> tuple[str, datetime]:
    """Return a token for this user, and when it expires. Raises Rejected(SERVICE_UNAVAILABLE) without a JWT_SECRET."""
    secret = settings().jwt_secret
    if secret is None:
        raise Rejected(
            Code.SERVICE_UNAVAILABLE,
            "This installation has no JWT_SECRET: no token can be valid.",
            {"retryAfter": 60},
        )
    now = datetime.now(UTC).replace(microsecond=0)
    claims: dict[str, object] = {"sub": str(user_id), "role": role.value, "iat": now, "exp": now + LIFETIME}
    if settings().jwt_audience is not None:
        claims["aud"] = settings().jwt_audience
    return jwt.encode(claims, secret, algorithm="HS256"), now + LIFETIME
