"""What every answer says about how to treat it."""

from __future__ import annotations

from flask import Flask, Response, request

# What is somebody's own is for them alone, not for a proxy's cache or a lost phone's.
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # For browsers from before `frame-ancestors`, and for the documentation, whose scripts a policy of ours would stop.
    "X-Frame-Options": "DENY",
}

ERROR_HEADERS = {**_ALWAYS, **_PRIVATE}


def register(app: Flask) -> None:
    @app.after_request
    def _say(response: Response) -> Response:
        private = request.path.startswith("/api/") or response.status_code >= 400
        for name, value in (ERROR_HEADERS if private else _ALWAYS).items():
            response.headers.setdefault(name, value)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 11.6.1
        if response.status_code == 415:
            # RFC 9110, section 15.5.16: the type and coding that are accepted.
            response.headers["Accept"] = "application/json"
            response.headers["Accept-Encoding"] = "identity"
        return response
