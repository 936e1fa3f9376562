"""gzip for responses over 1 KiB, if the client accepts it.

The usual library, Flask-Compress, is not used, because it requires two further native libraries (Brotli and Zstandard).
"""

from __future__ import annotations

import zlib

from flask import Flask, Response, request

MIN_BYTES = 1024
_TYPES = ("application/json", "application/problem+json", "application/javascript", "image/svg+xml", "text/")

# Level, size of the window and memory of zlib. A small window makes little difference for a small response, and setting
# up a large one takes several times as long as the compression itself.
_SMALL_BYTES = 16 * 1024
_FOR_SMALL = (1, zlib.DEFLATED, 16 + 12, 5)
_FOR_LARGE = (2, zlib.DEFLATED, 16 + 15, 8)  # adding 16 selects the format of gzip


def register(app: Flask) -> None:
    """Compress responses. Call this before other functions that change bodies are registered.

    Flask runs such functions in reverse order, so the compression must be registered first to run last.
    """

    @app.after_request
    def _compress(response: Response) -> Response:
        response.vary.add("Accept-Encoding")
        if _is_worthwhile(response) and _accepts_gzip():
            response.set_data(compressed(response.get_data()))
            response.headers["Content-Encoding"] = "gzip"
        return response


def compressed(body: bytes) -> bytes:
    """Return the body in the format of gzip."""
    compressor = zlib.compressobj(*(_FOR_SMALL if len(body) <= _SMALL_BYTES else _FOR_LARGE))
    return compressor.compress(body) + compressor.flush()


def _is_worthwhile(response: Response) -> bool:
    return (
        not response.direct_passthrough
        and not response.is_streamed
        and "Content-Encoding" not in response.headers
        and (response.content_length or 0) > MIN_BYTES
        and (response.mimetype or "").startswith(_TYPES)
    )


def _accepts_gzip() -> bool:
    """Return whether the client accepts gzip, and does not prefer the plain body (RFC 9110, section 12.5.3)."""
    accepted = {coding.lower(): quality for coding, quality in request.accept_encodings}
    quality = accepted.get("gzip", accepted.get("*", 0))
    return quality > 0 and quality >= accepted.get("identity", 0)
