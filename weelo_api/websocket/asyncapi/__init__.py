"""`GET /asyncapi.json`: describes the socket and the pushes in AsyncAPI 3.0."""

from __future__ import annotations

from flask import Flask, Response, jsonify

from weelo_api.http.declared import sends
from weelo_api.websocket.asyncapi.document import document

__all__ = ["document", "register"]


def register(app: Flask) -> None:
    @app.get("/asyncapi.json")
    @sends(200, description="The AsyncAPI document.")
    def asyncapi() -> Response:
        """Return the AsyncAPI document of the socket and of the pushes."""
        return jsonify(document())
