"""The AsyncAPI 3 document of the WebSocket, generated from the event models, the catalog and the clients' ops."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_args

from flask import Flask, Response, jsonify
from pydantic.json_schema import models_json_schema

from weelo_api.http.declared import sends
from weelo_api.websocket.inbound_limits import TOO_BIG, TOO_MANY
from weelo_api.websocket.messages import Op
from weelo_api.websocket.transport import FORBIDDEN, GOING_AWAY, TOO_MANY_SOCKETS, TOO_SLOW, UNAUTHORIZED
from weelo_workers import __version__
from weelo_workers.contracts.trips import LocationUpdated
from weelo_workers.notifications.catalog import CATALOG

_REF = "#/components/schemas/{model}"
_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_SEQ = {"type": "integer", "minimum": 0}

# Frames that are no part of the log carry no `seq` (docs/contract.md, section 5).
_EPHEMERAL: dict[str, dict[str, Any]] = {
    "connected": {"userId": _TEXT, "role": _TEXT, "seq": _SEQ, "serverTime": _TIME, "heartbeatSeconds": {"type": "number"}},
    "pong": {"serverTime": _TIME},
    "resync_required": {"oldestSeq": _SEQ},
    "location_updated": LocationUpdated.model_json_schema(mode="serialization")["properties"],
    "error": {"code": _TEXT, "detail": _TEXT},
}  # fmt: skip

_CLOSED_BECAUSE = {
    GOING_AWAY: "the server restarts",
    UNAUTHORIZED: "no valid token within 5 s, or the token has expired",
    FORBIDDEN: "the new token is valid, but another user's",
    TOO_BIG: "a frame over 8 KiB",
    TOO_MANY_SOCKETS: "this user has five newer sockets",
    TOO_SLOW: "the client reads too slowly",
    TOO_MANY: "more than 30 frames a second",
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the AsyncAPI document. It gives the socket's address as a path on this server."""
    ops = get_args(Op)
    names, definitions = models_json_schema(
        [*((event, "validation") for event in CATALOG), *((op, "validation") for op in ops)],
        by_alias=True,
        ref_template=_REF,
    )
    server_messages = {
        entry.name: _message(entry.name, event.__doc__, _line(entry.name, names[event, "validation"]))
        for event, entry in CATALOG.items()
    }
    server_messages |= {
        name: _message(name, None, _ephemeral(name, data)) for name, data in _EPHEMERAL.items()
    }
    client_messages = {
        f"op_{op.model_fields['op'].annotation.__args__[0]}": _message(
            op.__name__, op.__doc__, names[op, "validation"]
        )
        for op in ops
    }
    messages = server_messages | client_messages
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Weelo live events", "version": __version__},
        "channels": {
            "events": {
                "address": "/api/v1/ws",
                "description": "The caller's own log, live and resumable. Closed with "
                + "; ".join(f"{code}: {reason}" for code, reason in _CLOSED_BECAUSE.items()),
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "hear": _operation("send", server_messages),
            "say": _operation("receive", client_messages),
        },
        "components": {"messages": messages, "schemas": definitions.get("$defs", {})},
    }


def _message(name: str, text: str | None, payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "summary": (text or name).strip().partition("\n")[0], "payload": payload}


def _line(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a frame of the log. Its `seq` is numbered per user."""
    return {
        "type": "object",
        "required": ["id", "seq", "event", "at", "data"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "seq": {"type": "integer", "minimum": 1, "description": "per user, without a gap"},
            "event": {"const": event},
            "at": _TIME,
            "data": data,
        },
    }


def _ephemeral(event: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["event", "at", "data"],
        "properties": {
            "event": {"const": event},
            "at": _TIME,
            "data": {"type": "object", "properties": data, "required": list(data)},
        },
    }


def _operation(action: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/events"},
        "messages": [{"$ref": f"#/channels/events/messages/{name}"} for name in messages],
    }


def register(app: Flask) -> None:
    @app.get("/asyncapi.json")
    @sends(200, description="The AsyncAPI document.")
    def asyncapi() -> Response:
        """Return the AsyncAPI document of the socket."""
        return jsonify(document())
