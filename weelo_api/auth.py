"""Authentication by bearer tokens of the providers in AUTH_PROVIDERS.

`jwt`: HS256 with JWT_SECRET; claims `sub`, `role`, `exp` and optionally `name`, `phone`.
`firebase`: ID tokens of a Firebase project, RS256, with the custom claim `role`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import jwt

from weelo_api.firebase_keys import GOOGLE, FirebaseKeys
from weelo_api.per_process import PerProcess
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.settings import settings

MAX_NAME = 100
# How far the clock of a sign-in service may differ from ours.
LEEWAY = timedelta(seconds=30)

_INVALID = (jwt.InvalidTokenError, TypeError, ValueError, OverflowError, OSError)
"""The errors of PyJWT, and of functions that convert the claims of a token, such as UUID."""

# Some libraries encode "never expires" as the last second of the year 9999. Adding the leeway to it would overflow, so
# the sum is limited to this time.
_LATEST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    caller: Caller
    expires_at: datetime
    """The token is refused from this time on. The leeway is included."""


def token_of(header: str | None) -> str:
    """Return the token in an `Authorization` header. Raises Rejected(UNAUTHORIZED)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Rejected(Code.UNAUTHORIZED, "Send Authorization: Bearer <token>.")
    return token.strip()


def authenticate(token: str, *, wait: bool = True) -> Identity:
    """Return the identity in a token. Raises Rejected(UNAUTHORIZED | TOKEN_EXPIRED | SERVICE_UNAVAILABLE).

    `wait`: whether to wait up to 2 s for Firebase's keys if they are being fetched and the token's key is unknown.
    """
    try:
        key_id = _firebase_key_id(token)
        return _by_secret(token) if key_id is None else _by_firebase(token, key_id, wait=wait)
    except jwt.ExpiredSignatureError:
        raise Rejected(Code.TOKEN_EXPIRED, "Get a new token and try again.") from None
    except _INVALID:
        # The response gives no reason, because a reason would help to forge tokens.
        raise Rejected(Code.UNAUTHORIZED, "The token is not valid.") from None


async def authenticate_on_loop(token: str) -> Identity:
    """Return the same identity as `authenticate`, and raise the same errors, without blocking the event loop."""
    with suppress(*_INVALID):
        if (key_id := _firebase_key_id(token)) is not None:
            _firebase_keys().find(key_id, wait=False)
            while _firebase_keys().is_pending(key_id):
                await asyncio.sleep(0.02)
    return authenticate(token, wait=False)


def _by_secret(token: str) -> Identity:
    secret, audience = settings().jwt_secret, settings().jwt_audience
    if "jwt" not in settings().auth_providers:
        raise jwt.InvalidTokenError
    if secret is None:
        raise Rejected(Code.UNAUTHORIZED, "This installation has no JWT_SECRET: no token can be valid.")
    # `iat` and `jti` do not limit a token's validity (RFC 7519, sections 4.1.6 and 4.1.7), and neither does `auth_time` of
    # Firebase. The algorithm is fixed, because a forged token may name another one, such as `alg: none`.
    claims = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        audience=audience,
        leeway=LEEWAY,
        options={
            "require": ["sub", "role", "exp"],
            "verify_aud": audience is not None,
            "verify_iat": False,
            "verify_jti": False,
        },
    )
    return _identity(UUID(claims["sub"]), claims, claims.get("phone"))


def _identity(user_id: UUID, claims: dict[str, Any], phone: object) -> Identity:
    return Identity(
        Caller(user_id, Role(claims["role"]), _text(claims.get("name")), _text(phone)),
        min(datetime.fromtimestamp(claims["exp"], UTC), _LATEST - LEEWAY) + LEEWAY,
    )


def _text(claim: object) -> str | None:
    """Return at most MAX_NAME characters of the claim, without those that PostgreSQL cannot store (NUL, surrogates)."""
    if not isinstance(claim, str):
        return None
    return claim.encode("utf-8", "ignore").decode().replace("\x00", "")[:MAX_NAME] or None


# --- Firebase -------------------------------------------------------------------------------------------

FIREBASE_USERS = UUID("8fc83f33-98d0-444f-abfa-1cadabf9499b")
"""The namespace of our ids for Firebase users whose uid is no UUID (docs/contract.md, section 2)."""

_ISSUER = "https://securetoken.google.com/"

_firebase_keys = PerProcess(lambda: FirebaseKeys(settings().firebase_keys_url or GOOGLE))


def user_id_of_firebase(uid: str) -> UUID:
    """Return our id of a Firebase user: the uid itself if it is a UUID in the usual form, else a UUID made from it."""
    with suppress(ValueError):
        if str(UUID(uid)) == uid:
            return UUID(uid)
    return uuid5(FIREBASE_USERS, uid)


def _firebase_key_id(token: str) -> str | None:
    """Return the id of the key with which an ID token is signed; None for other tokens. Raises jwt.InvalidTokenError."""
    if "firebase" not in settings().auth_providers:
        return None
    # The header is not verified yet. It decides only which of the two ways of verification the token has to pass.
    header = jwt.get_unverified_header(token)
    return str(header.get("kid", "")) if header.get("alg") == "RS256" else None


def _by_firebase(token: str, key_id: str, *, wait: bool) -> Identity:
    project, keys = settings().firebase_project_id, _firebase_keys()
    key = keys.find(key_id, wait=wait)
    if key is None:
        if keys.is_empty:
            raise Rejected(
                Code.SERVICE_UNAVAILABLE, "The keys of Firebase cannot be read.", {"retryAfter": 5}
            )
        raise jwt.InvalidTokenError
    claims = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=project,
        issuer=f"{_ISSUER}{project}",
        leeway=LEEWAY,
        options={
            "require": ["sub", "exp", "aud", "iss"],
            "verify_iat": False,
            "verify_jti": False,
        },
    )
    if not claims["sub"]:
        raise jwt.InvalidTokenError
    # Firebase sets no role by itself, so the role is often forgotten, and the response says so. The signature is verified
    # already, so this does not help to forge tokens.
    if claims.get("role") not in tuple(Role):
        raise Rejected(
            Code.UNAUTHORIZED,
            f"The custom claim `role` is missing or unknown. Set it to one of {', '.join(Role)}.",
        )
    return _identity(user_id_of_firebase(claims["sub"]), claims, claims.get("phone_number"))
