"""Response headers about caching and browser security."""

from __future__ import annotations

from flask import Flask, Response, request

# Personal data must not stay in the cache of a proxy or of a lost phone.
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # X-Frame-Options is for browsers that do not know `frame-ancestors`.
    "X-Frame-Options": "DENY",
}

# Probes and monitoring must read the present state, not one that a proxy has stored.
_OF_THE_MOMENT = frozenset({"/healthz", "/readyz", "/metrics"})

ERROR_HEADERS = {**_ALWAYS, **_PRIVATE}


def register(app: Flask) -> None:
    @app.after_request
    def _add_headers(response: Response) -> Response:
        private = request.path.startswith("/api/") or response.status_code >= 400
        for name, value in (ERROR_HEADERS if private else _ALWAYS).items():
            response.headers.setdefault(name, value)
        if request.path in _OF_THE_MOMENT:
            response.headers["Cache-Control"] = "no-store"
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"  # required by RFC 9110, section 11.6.1
        if response.status_code == 415:
            # A 415 names the accepted type and coding (RFC 9110, section 15.5.16).
            response.headers["Accept"] = "application/json"
            response.headers["Accept-Encoding"] = "identity"
        return response
