"""The AsyncAPI 3.0 document: every frame in both directions, push and message to a webhook, with schema and example.

It is made of what the code enforces: the catalog of events, the models of frames and ops, and the close codes.
"""

from __future__ import annotations

from functools import lru_cache
from inspect import cleandoc
from typing import Any, get_args

from pydantic import BaseModel

from weelo_api.websocket.asyncapi import examples
from weelo_api.websocket.asyncapi.schemas import reference, schemas_of
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.inbound_limits import MAX_FRAME_BYTES, MAX_FRAMES_PER_SECOND
from weelo_api.websocket.messages import EPHEMERAL, Op, name_of
from weelo_workers import __version__
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.webhooks import TEST_EVENT, WebhookTest
from weelo_workers.contracts.wire import rfc3339
from weelo_workers.notifications.catalog import CATALOG, Audience, Route

SOCKET = "/api/v1/ws"

_UUID = {"type": "string", "format": "uuid"}
_TIME = {"type": "string", "format": "date-time"}
_AT = {**_TIME, "description": "When it happened, by the server's clock."}

# The recipients of frames outside the log. They are listed here, because the catalog has only the events of the log.
_TO_THIS_SOCKET = "the client of this socket"
_EPHEMERAL_READERS = {"location_updated": "the customer of the booking or order"}

_INFO = """\
The events of Weelo: over a WebSocket to apps that are open, as pushes to apps that are not, and as webhooks to servers.

**The log.** Each user has a log of events, numbered by `seq` from 1 without a gap. A frame with a `seq` is a line of the
log; it has the same `id` and `seq` on every socket, in `GET /api/v1/events` and in the push. Drop a line whose `seq` you
have already. After a break, send `resume` with the last `seq` that you have stored, and the server sends the missing lines.

**Events about a booking or an order** have its `broadcastId`, and the same id as `bookingId` or `orderId`. `version` grows
with every transition, so an app can drop what is older than what it shows.

**New versions** may add fields and events. Ignore those that you do not know."""

_SOCKET = """\
JSON text frames over RFC 6455, without extensions.

**Authentication.** Send `Authorization: Bearer <token>` with the handshake. A client that cannot, such as a browser, sends
the op `auth` as the first frame within 5 s. The first frame of the server is `connected`. Before the token expires, send
a fresh one of the same user and role with `auth`. Tokens in the query string are not accepted.

**Limits.** A message has at most {frame_bytes} bytes. At most {frames} frames (fragments count) and {frames} control frames may
come in a second. A user may have 5 sockets. The server sends a ping every 18 s and expects its pong before the next one.

**Before the socket is open** the server answers with problem+json: 400 `VALIDATION_ERROR` to a request that is no
WebSocket handshake of version 13, 403 `FORBIDDEN` to a page of an origin that `CORS_ORIGINS` does not name, 405
`METHOD_NOT_ALLOWED` to other methods than GET, 503 `SERVICE_UNAVAILABLE` with `retryAfter` (seconds) if too many
sockets are open. A bad token is refused after the handshake, with close code 4401.

**Close codes**

| code | when | what to do |
|---|---|---|
{close_codes}"""

_PUSHES = """\
Data messages of Firebase Cloud Messaging (FCM), sent to the devices that a user has registered with
`PUT /api/v1/devices/{token}`. They contain no notification, so the app decides what to show.

A push is sent to a user who has no open socket, or whose sockets have not acknowledged the event within 3 s (op `ack`).
The payload here is the message's `data`: all values are texts. Load the rest over HTTP, or resume the log.

On Android the priority is `high` and the collapse key is the `broadcastId`, so a phone that was offline gets only the newest push
about a booking. On iOS it is a background notification (`content-available`, priority 5) with the same collapse id. A push
expires with what it announces: at `expiresAt`, or after an hour. It may come twice: drop a push whose `seq` you have already."""

_WEBHOOKS = """\
An endpoint of a user's own server, registered with `POST /api/v1/webhooks`. It receives the lines of the user's log whose
events are in its list `events`. Each is a `POST` whose body is the frame that the socket carries.

The headers are those of Standard Webhooks: `webhook-id` (the event's id), `webhook-timestamp` (seconds since 1970) and
`webhook-signature` (one or more `v1,` and a Base64 text, separated by spaces). Each attempt is signed anew. Answer with a
status from 200 to 299 within 10 s; the next line is posted after that. A message may come twice: drop a message whose `id` you have already."""


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the AsyncAPI document. It is the same for every server, because the host is a variable."""
    ops = get_args(Op)
    events = {route.name: _event(event, route) for event, route in CATALOG.items()}
    frames = {**events, **{name: _ephemeral(name, model) for name, model in EPHEMERAL.items()}}
    from_clients = {f"op_{name_of(op)}": _op(op) for op in ops}
    pushes = {f"push_{route.name}": _push(event, route) for event, route in CATALOG.items() if route.pushed}
    posts = {**events, TEST_EVENT: _webhook_test()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Weelo live events",
            "version": __version__,
            "description": _INFO,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {**_this_server(), "fcm": _fcm(), "webhook": _endpoint()},
        "channels": {
            "events": _channel(SOCKET, ["ws", "wss"], frames | from_clients) | _socket(),
            "pushes": _channel(None, ["fcm"], pushes) | {"title": "Pushes to phones", "description": _PUSHES},
            "webhooks": _channel(None, ["webhook"], posts) | {"title": "Webhooks", "description": _WEBHOOKS},
        },
        "operations": {
            "sendEvents": _operation("send", "events", "Events and answers for the client", frames),
            "receiveOps": _operation("receive", "events", "What a client may send", from_clients),
            "sendPushes": _operation("send", "pushes", "Pushes to phones without a live socket", pushes),
            "sendWebhooks": _operation("send", "webhooks", "Events for a server", posts)
            | {"bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}}},
        },
        "components": {
            "messages": frames | from_clients | pushes | posts,
            "schemas": schemas_of([*CATALOG, *EPHEMERAL.values(), WebhookTest], ops),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`Authorization: Bearer <token>` in the handshake.",
                },
                "firstFrame": {
                    "type": "apiKey",
                    "in": "password",
                    "description": "The token in the op `auth`, as the first frame within 5 s.",
                },
            },
        },
    }


# --- servers and channels -------------------------------------------------------------------------------


def _this_server() -> dict[str, Any]:
    host = {
        "default": "localhost:8000",
        "description": "Host and port of the server that returned this document.",
    }
    return {
        protocol: {
            "host": "{host}",
            "pathname": "/",
            "protocol": protocol,
            "description": f"This server{encryption}.",
            "variables": {"host": host},
            "security": [
                {"$ref": f"#/components/securitySchemes/{name}"} for name in ("bearer", "firstFrame")
            ],
        }
        for protocol, encryption in (("ws", ""), ("wss", " behind TLS, as in production"))
    }


def _fcm() -> dict[str, Any]:
    return {
        "host": "fcm.googleapis.com",
        "protocol": "https",
        "description": "Firebase Cloud Messaging. Apps receive pushes through Firebase's library, not from this host.",
    }


def _endpoint() -> dict[str, Any]:
    host = {"default": "shipper.example", "description": "Host and port of the URL of the webhook."}
    return {
        "host": "{host}",
        "protocol": "https",
        "description": "A server of a user. In production it has to be reachable by HTTPS at public addresses.",
        "variables": {"host": host},
    }


def _channel(address: str | None, servers: list[str], messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "servers": [{"$ref": f"#/servers/{name}"} for name in servers],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _socket() -> dict[str, Any]:
    rows = "\n".join(f"| {code.value} | {code.meaning} | {code.remedy} |" for code in CloseCode)
    authorization = {
        "type": "string",
        "description": "`Bearer` and the token. Without it the first frame has to be the op `auth`.",
    }
    return {
        "title": "The socket",
        "description": _SOCKET.format(
            frame_bytes=MAX_FRAME_BYTES, frames=MAX_FRAMES_PER_SECOND, close_codes=rows
        ),
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {"type": "object", "properties": {"Authorization": authorization}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": [
            {"code": code.value, "name": code.name, "meaning": code.meaning, "remedy": code.remedy}
            for code in CloseCode
        ],
    }


def _operation(action: str, channel: str, title: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "title": title,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


# --- messages -------------------------------------------------------------------------------------------


def _event(event: type[Event], route: Route) -> dict[str, Any]:
    readers = [each.text for each in route.audiences if isinstance(each, Audience)]
    pushed = bool(route.pushed)
    return _message(
        route.name,
        event,
        {
            "type": "object",
            "required": ["id", "seq", "event", "at", "data"],
            "properties": {
                "id": {**_UUID, "description": "The id of the event, the same for all of its readers."},
                "seq": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "The number of this line in the user's log.",
                },
                "event": {"const": route.name},
                "at": _AT,
                "data": reference(event),
            },
        },
        [(name, _line(route.name, data)) for name, data in examples.EVENTS.get(event, ())],
        f"{_to(readers)} {'It is pushed as well.' if pushed else 'It is not pushed.'}",
        {"x-recipients": readers, "x-pushed": pushed},
        "log",
    )


def _line(name: str, data: BaseModel) -> dict[str, Any]:
    return {
        "id": str(examples.EVENT_ID),
        "seq": examples.SEQ,
        "event": name,
        "at": rfc3339(examples.BEGAN),
        "data": data.model_dump(mode="json", by_alias=True),
    }


def _ephemeral(name: str, model: type[BaseModel]) -> dict[str, Any]:
    readers = [_EPHEMERAL_READERS.get(name, _TO_THIS_SOCKET)]
    example = {
        "event": name,
        "at": rfc3339(examples.BEGAN),
        "data": examples.EPHEMERAL[name].model_dump(mode="json", by_alias=True),
    }
    return _message(
        name,
        model,
        {
            "type": "object",
            "required": ["event", "at", "data"],
            "properties": {"event": {"const": name}, "at": _AT, "data": reference(model)},
        },
        [(name, example)],
        f"{_to(readers)} It is no part of the log, so it has no `id` and no `seq`, and is not sent again.",
        {"x-recipients": readers, "x-pushed": False},
        "ephemeral",
    )


def _webhook_test() -> dict[str, Any]:
    line = _line(TEST_EVENT, examples.WEBHOOK_TEST)
    return _message(
        TEST_EVENT,
        WebhookTest,
        {
            "type": "object",
            "required": ["id", "seq", "event", "at", "data"],
            "properties": {
                "id": {**_UUID, "description": "The id of this test."},
                "seq": {"type": "null", "description": "A test is no line of the log."},
                "event": {"const": TEST_EVENT},
                "at": _AT,
                "data": reference(WebhookTest),
            },
        },
        [(TEST_EVENT, {**line, "seq": None})],
        "To the endpoint of the webhook, by `POST /api/v1/webhooks/{id}/test`. It is no part of the log.",
        {"x-recipients": ["the endpoint of the webhook"], "x-pushed": False},
        "webhook",
    )


def _op(op: type[Op]) -> dict[str, Any]:
    name = name_of(op)
    example = examples.OPS[name].model_dump(mode="json", by_alias=True)
    return _message(
        name, op, reference(op), [(name, example)], "From the client.", {"x-from": "the client"}, "op"
    )


def _push(event: type[Event], route: Route) -> dict[str, Any]:
    fields = event.model_fields
    text = {"type": "string"}
    properties: dict[str, Any] = {
        "type": {"const": route.name, "description": "The name of the event."},
        "eventId": {**_UUID, "description": "The id of the event, as in the frame."},
        "seq": {
            **text,
            "pattern": "^[1-9][0-9]*$",
            "description": "The number of the line in the user's log.",
        },
        "broadcastId": {**_UUID, "description": "The id of the booking or order."},
    }
    required = list(properties)
    if "assignment" in fields:
        properties["assignmentId"] = {**_UUID, "description": "The id of the assignment."}
        required.append("assignmentId")
    if "expires_at" in fields:
        properties["expiresAt"] = {**_TIME, "description": "Until when it can be answered. Absent if never."}
    readers = [each.text for each in route.audiences if isinstance(each, Audience)]
    return _message(
        f"push {route.name}",
        event,
        {"type": "object", "required": required, "properties": properties},
        [
            (name, {key: line[key] for key in properties if key in line})
            for name, line in (
                (name, _push_data(route.name, data)) for name, data in examples.EVENTS.get(event, ())
            )
        ],
        _to(readers),
        {"x-recipients": readers},
        "push",
    )


def _push_data(name: str, event: Event) -> dict[str, str]:
    data = event.json_dict()
    found = {
        "type": name,
        "eventId": str(examples.EVENT_ID),
        "seq": str(examples.SEQ),
        "broadcastId": data.get("broadcastId"),
        "assignmentId": data.get("assignment", {}).get("id"),
        "expiresAt": data.get("expiresAt"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _message(
    name: str,
    model: type[BaseModel],
    payload: dict[str, Any],
    shown: list[tuple[str, dict[str, Any]]],
    note: str,
    extensions: dict[str, Any],
    tag: str,
) -> dict[str, Any]:
    summary, _, rest = cleandoc(model.__doc__ or name).partition("\n\n")
    return {
        "name": name,
        "title": name,
        "summary": " ".join(summary.split()),
        "description": "\n\n".join(filter(None, [note, rest.strip()])),
        "tags": [{"name": tag}],
        "payload": payload,
        "examples": [{"name": each, "payload": example} for each, example in shown],
        **extensions,
    }


def _to(readers: list[str]) -> str:
    return f"To {', and to '.join(readers)}."
