"""The files that the pages load: styles, scripts and the vendored viewer.

Their addresses contain a hash of their content, so browsers may keep them for ever.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from flask import Response, request

_FOR_EVER = "public, max-age=31536000, immutable"
_CSS, _JS = "text/css; charset=utf-8", "text/javascript; charset=utf-8"

# File in the package and content type, by the name in the address.
_FILES = {
    "docs.css": ("static/docs.css", _CSS),
    "content.css": ("static/content.css", _CSS),
    "docs.js": ("static/docs.js", _JS),
    "before-viewer.js": ("static/before-viewer.js", _JS),
    "http.js": ("static/http.js", _JS),
    "scalar-api-reference.js": ("vendor/scalar-api-reference.js.gz", _JS),
}
NAMES = frozenset(_FILES)


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    content_type: str
    compressed: bool
    digest: str


@lru_cache
def _load(name: str) -> Asset:
    path, content_type = _FILES[name]
    content = files(__package__).joinpath(path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content, content_type, path.endswith(".gz"), digest)


def address(name: str) -> str:
    """Return the path of a file on this server. Raises KeyError for an unknown name."""
    return f"/docs/assets/{_load(name).digest}/{name}"


def response(digest: str, name: str) -> Response | None:
    """Return the file; None if there is no such file with this hash."""
    if name not in NAMES or _load(name).digest != digest:
        return None
    asset = _load(name)
    answer = Response(asset.content, content_type=asset.content_type)
    answer.headers["Cache-Control"] = _FOR_EVER
    if asset.compressed:
        answer.headers["Vary"] = "Accept-Encoding"
        if request.accept_encodings["gzip"]:
            answer.headers["Content-Encoding"] = "gzip"
        else:
            answer.set_data(gzip.decompress(asset.content))
    return answer
