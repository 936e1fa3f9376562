"""`GET /asyncapi.json`: describes the socket and the pushes in AsyncAPI 3.0."""

from __future__ import annotations

from flask import Flask, Response, jsonify

from weelo_api.websocket.asyncapi.document import document

__all__ = ["document", "register"]


def register(app: Flask) -> None:
    @app.get("/asyncapi.json")
    def asyncapi() -> Response:
        return jsonify(document())
