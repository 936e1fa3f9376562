"""`/openapi.json`: the OpenAPI 3.1 document, built from the routes, the commands and the models."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from flask import Flask, Response

from weelo_api.http.declared import sends
from weelo_api.openapi.document import build


def register(app: Flask) -> None:
    """Add the route. The document is built when it is first read, when all routes are known."""

    @app.get("/openapi.json")
    @sends(200, description="This document.")
    def openapi() -> Response:
        """Return the OpenAPI document."""
        return Response(_text(app), content_type="application/json")


@lru_cache(maxsize=1)
def document(app: Flask) -> dict[str, Any]:
    """Return the document of this application. Do not change it: all calls return the same object."""
    return build(app)


@lru_cache(maxsize=1)
def _text(app: Flask) -> str:
    return json.dumps(document(app))
