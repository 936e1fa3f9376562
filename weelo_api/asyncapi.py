"""What the socket carries, as AsyncAPI 3, generated from the event models and the catalog."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask import Flask, Response, jsonify
from pydantic.json_schema import models_json_schema

from weelo_workers import __version__
from weelo_workers.notifications.catalog import CATALOG

_REF = "#/components/schemas/{model}"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    names, definitions = models_json_schema(
        [(event, "serialization") for event in CATALOG], by_alias=True, ref_template=_REF
    )
    messages = {
        entry.name: {
            "name": entry.name,
            "summary": (event.__doc__ or "").strip().partition("\n")[0],
            "payload": {
                "type": "object",
                "required": ["id", "seq", "event", "at", "data"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "seq": {"type": "integer", "minimum": 1, "description": "per user, without a gap"},
                    "event": {"const": entry.name},
                    "at": {"type": "string", "format": "date-time"},
                    "data": names[(event, "serialization")],
                },
            },
        }
        for event, entry in CATALOG.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Weelo live events", "version": __version__},
        "channels": {
            "events": {
                "address": "/api/v1/ws",
                "description": "The caller's own log, live and resumable.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {"hear": {"action": "send", "channel": {"$ref": "#/channels/events"}}},
        "components": {"messages": messages, "schemas": definitions.get("$defs", {})},
    }


def register(app: Flask) -> None:
    @app.get("/asyncapi.json")
    def asyncapi() -> Response:
        return jsonify(document())
