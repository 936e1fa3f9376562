"""The files that the pages load: styles, scripts and the vendored viewer."""

from __future__ import annotations

from weelo_api.http.static_files import CSS, JS, StaticFiles

_FILES = StaticFiles(
    __package__,
    "/docs/assets",
    {
        "docs.css": ("static/docs.css", CSS),
        "content.css": ("static/content.css", CSS),
        "docs.js": ("static/docs.js", JS),
        "before-viewer.js": ("static/before-viewer.js", JS),
        "http.js": ("static/http.js", JS),
        "scalar-api-reference.js": ("vendor/scalar-api-reference.js.gz", JS),
    },
)
NAMES = frozenset(_FILES.files)

address = _FILES.address
response = _FILES.response
