"""Sessions of the console: a signed cookie, made once from an admin's token, and a token against forged forms.

The cookie is a JWT that is signed with a key of its own, so the API does not accept it as a token, and the console does
not accept a token of the API as a cookie. It contains the user's id and name, and no secret. Sign-outs are stored as
rows, because otherwise a copy of the cookie would stay valid.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4, uuid5

import jwt
from flask import Request, Response
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from weelo_api.auth import Identity
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.console import ConsoleSignOut
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.settings import settings

COOKIE = "weelo_console"
PATH = "/console"
NAMESPACE = UUID("3d8f6f0e-52c1-4a55-9d53-6a4f1f6a5d21")
MAX_LIFE = timedelta(hours=12)

_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in admin."""

    id: UUID
    user: Caller
    expires_at: datetime

    @property
    def seconds_left(self) -> float:
        return max(0.0, (self.expires_at - datetime.now(UTC)).total_seconds())

    @property
    def form_token(self) -> str:
        """The value that every form of this session contains. Other sites cannot read it."""
        return hmac.new(_key(), f"form of {self.id}".encode(), hashlib.sha256).hexdigest()

    def accepts(self, form_token: str) -> bool:
        """Return whether a form with this value was made for this session."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode("utf-8", "replace"))


def begin(identity: Identity) -> Session:
    """Return a new session of this admin. It ends when the token expires, after 12 h at the latest."""
    now = datetime.now(UTC)
    return Session(uuid4(), identity.caller, min(identity.expires_at, now + MAX_LIFE).replace(microsecond=0))


def find(request: Request) -> Session | None:
    """Return the session of the request's cookie. Return None if the cookie is missing, forged, expired or signed out."""
    if (key := settings().console_key) is None or not (cookie := request.cookies.get(COOKIE)):
        return None
    try:
        claims: dict[str, Any] = jwt.decode(
            cookie,
            key,
            algorithms=[_ALGORITHM],
            options={"require": ["jti", "sub", "exp"], "verify_iat": False, "verify_sub": False},
        )
        session = Session(
            UUID(claims["jti"]),
            Caller(UUID(claims["sub"]), Role.ADMIN, claims.get("name")),
            datetime.fromtimestamp(claims["exp"], UTC),
        )
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError):
        return None
    return None if is_signed_out(session.id) else session


def is_signed_out(session_id: UUID) -> bool:
    """Return whether the session was ended by a sign-out."""
    # The primary is read, because a replica may lag behind the sign-out.
    query = select(ConsoleSignOut.session_id).where(ConsoleSignOut.session_id == session_id)
    with autocommit_engine().connect() as connection:
        return connection.scalar(query) is not None


def sign_out(session: Session) -> None:
    """End the session, also for copies of its cookie."""
    with autocommit_engine().connect() as connection:
        row = {"session_id": session.id, "expires_at": session.expires_at}
        connection.execute(insert(ConsoleSignOut).values(row).on_conflict_do_nothing())


def set_cookie(response: Response, session: Session) -> None:
    claims = {
        "jti": str(session.id),
        "sub": str(session.user.id),
        "exp": session.expires_at,
        "name": session.user.name,
    }
    response.set_cookie(
        COOKIE,
        jwt.encode(claims, _key(), _ALGORITHM),
        max_age=int(session.seconds_left),
        path=PATH,
        secure=settings().weelo_env == "production",
        httponly=True,
        samesite="Strict",
    )


def delete_cookie(response: Response) -> None:
    response.delete_cookie(
        COOKIE,
        path=PATH,
        secure=settings().weelo_env == "production",
        httponly=True,
        samesite="Strict",
    )


def is_from_elsewhere(request: Request) -> bool:
    """Return whether a page of another origin sent the request, by the headers that browsers add.

    Schemes are not compared, because a proxy may have terminated TLS.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    return site not in ("same-origin", "none") or (
        origin is not None and _host(urlsplit(origin).netloc) != _host(request.host)
    )


def command_id_of(session: Session, key: str) -> UUID:
    """Return the id of the command that a form sends. It is the same if the form is sent again."""
    return uuid5(session.id, key)


def _host(authority: str) -> str:
    return authority.lower().removesuffix(":80").removesuffix(":443")


def _key() -> bytes:
    key = settings().console_key
    assert key is not None, "no session begins without a key"
    return key
