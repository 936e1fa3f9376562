"""The files that the pages of the console load."""

from __future__ import annotations

from weelo_api.http.static_files import CSS, JS, StaticFiles

_JSON = "application/json"

ASSETS = StaticFiles(
    __package__,
    "/console/assets",
    {
        "console.css": ("static/console.css", CSS),
        "console.js": ("static/console.js", JS),
        "map.js": ("static/map.js", JS),
        "leaflet.css": ("vendor/leaflet.css", CSS),
        "leaflet.js": ("vendor/leaflet.js.gz", JS),
        "htmx.js": ("vendor/htmx.js.gz", JS),
        "outlines.json": ("vendor/outlines.json.gz", _JSON),
        "towns.json": ("vendor/towns.json", _JSON),
    },
)
