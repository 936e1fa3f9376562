"""CORS: lets pages of the origins in CORS_ORIGINS call the API from a browser (Fetch Standard, section 3.3).

Flask-CORS is not used: it treats some origins as regular expressions, and does not answer a preflight request of a
route that requires a token.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Request, Response, request

from weelo_workers.settings import settings

ANY = "*"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Request-Id"
    ),
    "Access-Control-Max-Age": "7200",  # in seconds; browsers keep the answer no longer than this
}
_EXPOSED = "ETag, Idempotency-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"


def is_allowed(origin: str) -> bool:
    """Return whether pages of this origin may use the API."""
    allowed = settings().cors_origins or ()
    return origin in allowed or ANY in allowed


def is_foreign(request: Request) -> bool:
    """Return whether the request comes from a page of another origin that is not allowed.

    Requests of apps have no `Origin`. Schemes are not compared, because a proxy may have terminated TLS.
    """
    origin = request.headers.get("Origin")
    return origin is not None and not is_allowed(origin) and _authority(origin) != _host(origin, request.host)


def register(app: Flask) -> None:
    """Answer preflight requests, and add the headers of CORS. Call this before the roles are checked."""

    @app.before_request
    def _answer_preflight() -> Response | None:
        # A preflight request has no token, so it must be answered before tokens are checked.
        if (
            request.method == "OPTIONS"
            and "Access-Control-Request-Method" in request.headers
            and is_allowed(request.headers.get("Origin", ""))
        ):
            return Response(status=204, headers=_PREFLIGHT)
        return None

    @app.after_request
    def _add_headers(response: Response) -> Response:
        if settings().cors_origins:
            response.vary.add("Origin")
            origin = request.headers.get("Origin")
            if origin is not None and is_allowed(origin):
                # Access-Control-Allow-Credentials is not sent: it allows cookies, and callers are identified by tokens.
                response.headers["Access-Control-Allow-Origin"] = origin
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response


def _authority(origin: str) -> str:
    return origin.partition("://")[2].lower()


def _host(origin: str, host: str) -> str:
    """Return the Host of a request in the form that origins have: in lower case, and without the scheme's default port."""
    return host.lower().removesuffix(_DEFAULT_PORTS.get(urlsplit(origin).scheme, ""))
