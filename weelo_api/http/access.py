"""Authorization by role: every route under /api/v1 declares the roles that may call it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, g, request

from weelo_api.auth import authenticate, token_of
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role

# The WebSocket route authenticates its callers itself, because the token may be in the first frame.
SOCKET = "ws"

View = TypeVar("View", bound=Callable[..., Any])


def allow(*roles: Role) -> Callable[[View], View]:
    """Return a decorator that marks a view with the roles that may call it."""

    def mark(view: View) -> View:
        view.roles = frozenset(roles)  # type: ignore[attr-defined]
        return view

    return mark


anyone = allow(*Role)


def without_token(view: View) -> View:
    """Mark a view that callers without a token may call. Only a sandbox has such views under /api/v1."""
    view.without_token = True  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """Return the authenticated user who sent this request."""
    user: Caller = g.caller
    return user


def register(app: Flask) -> None:
    @app.before_request
    def _authenticate() -> None:
        # Roles are checked before validation, so that validation messages reveal nothing to unauthenticated clients.
        view = current_app.view_functions.get(request.endpoint or "")
        roles = getattr(view, "roles", None)
        if roles is None:
            if (
                request.endpoint is not None
                and request.path.startswith("/api/v1/")
                and request.endpoint != SOCKET
                and not getattr(view, "without_token", False)
            ):
                raise Rejected(Code.FORBIDDEN, "This route declares no roles, so nobody may call it.")
            return
        g.caller = authenticate(token_of(request.headers.get("Authorization"))).caller
        if g.caller.role not in roles:
            raise Rejected(Code.FORBIDDEN, f"This is for: {', '.join(sorted(roles))}.")
