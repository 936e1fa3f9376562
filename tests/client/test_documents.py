"""The client and the documents describe the same API: routes, parameters, bodies, answers, frames and messages.

openapi.json and asyncapi.json are what developers of other clients see. The client is called with a transport that answers
as openapi.json says, and with a socket on which every frame of asyncapi.json is sent.
"""

from __future__ import annotations

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import httpx
import pytest
from jsonschema import Draft202012Validator

from clients.documents import document
from tests.client import samples
from tests.client.scripted_api import ScriptedApi, Socket
from tests.support.sources import ROOT
from tests.support.waiting import eventually
from weelo_client import ChannelEnded, WeeloClient
from weelo_client.commands import Commands

ROUTES_WITHOUT_A_METHOD = {
    "GET /api/v1/broadcasts/*/offers": "operators read it, with `get`",
    "GET /api/v1/broadcasts/*/offers/*": "operators read it, with `get`",
    "GET /api/v1/ws": "the channel connects to it",
    "* /api/v1/sandbox/*": "it exists in a sandbox only",
    "GET /": "a page for people",
    "GET /healthz": "for operators",
    "GET /readyz": "for operators",
    "GET /metrics": "for operators",
    "GET /openapi.json": "a document",
    "GET /asyncapi.json": "a document",
    "GET /docs*": "a document",
}
"""Patterns of documented routes that no method calls, with the reason."""

PARAMETERS_NOT_SENT = {
    ("GET /api/v1/events", "cursor"): "`after` means the same",
    ("POST /api/v1/admin/policies/{scope}/preview", "reason"): "it has no effect in a preview",
    ("GET /api/v1/webhooks/{id}/deliveries", "status"): "the client returns deliveries with every status",
}
"""Documented fields and parameters that no method sends, with the reason."""

METHODS: list[Callable[..., Any]] = [
    *(
        method
        for group in WeeloClient.__bases__
        for name, method in vars(group).items()
        if not name.startswith("_")
    ),
    Commands.outcome,
]
"""The methods of the client. Each calls one route."""


# --- the routes of openapi.json ---------------------------------------------------------------------------


@cache
def openapi() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(document("openapi.json"))
    return described


@cache
def asyncapi() -> dict[str, Any]:
    described: dict[str, Any] = json.loads(document("asyncapi.json"))
    return described


@cache
def operations() -> dict[str, dict[str, Any]]:
    """Return the operations of openapi.json, with keys such as `POST /api/v1/bookings`."""
    return {
        f"{verb.upper()} {path}": operation
        for path, item in openapi()["paths"].items()
        for verb, operation in item.items()
        if verb in ("get", "put", "post", "patch", "delete")
    }


def route_of(request: httpx.Request) -> str:
    """Return the documented route of a request. If several match, it is the one with the fewest parameters in its path."""
    for route in sorted(operations(), key=lambda each: each.count("{")):
        verb, _, path = route.partition(" ")
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
        if verb == request.method and re.fullmatch(pattern, request.url.path):
            return route
    raise AssertionError(f"openapi.json has no {request.method} {request.url.path}")


def answer_of(route: str) -> tuple[int, dict[str, Any] | None]:
    """Return the route's lowest 2xx status except 202, and the schema of that response's body (None without a body)."""
    responses = operations()[route]["responses"]
    status = min(int(each) for each in responses if each.startswith("2") and each != "202")
    content = samples.resolved(openapi(), responses[str(status)]).get("content")
    return status, content["application/json"]["schema"] if content else None


def parameters(route: str, place: str) -> set[str]:
    described = (samples.resolved(openapi(), each) for each in operations()[route].get("parameters", []))
    return {each["name"] for each in described if each["in"] == place}


def body_schema(route: str) -> dict[str, Any] | None:
    body = operations()[route].get("requestBody")
    if body is None:
        return None
    content: dict[str, Any] = samples.resolved(openapi(), body)["content"]
    return {**content["application/json"]["schema"], "components": openapi()["components"]}


class Call:
    """One call of a method of the client: its request, the route of this request, and what the method returned."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        transport = httpx.MockTransport(self._answer)
        hints = get_type_hints(method, include_extras=True)
        names = [name for name in inspect.signature(method).parameters if name not in ("self", "key", "wait")]
        with WeeloClient(
            "http://api", "a token", retry_for=0, http=httpx.Client(transport=transport)
        ) as client:
            self.returned = method(
                client, **{name: samples.of_annotation(name, hints[name]) for name in names}
            )
        self.returns = hints["return"]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.request, self.route = request, route_of(request)
        status, schema = answer_of(self.route)
        if schema is None:
            return httpx.Response(status)
        body: dict[str, Any] = samples.of_schema(openapi(), schema)
        if "nextCursor" in body:
            # Each list ends with its first page. With a cursor, the client would request another page.
            body = {**body, "nextCursor": None}
        return httpx.Response(status, json=body)

    @property
    def body(self) -> Any:
        return json.loads(self.request.content) if self.request.content else None


@cache
def call(method: Callable[..., Any]) -> Call:
    return Call(method)


# --- requests -------------------------------------------------------------------------------------------


def name_of(method: Callable[..., Any]) -> str:
    return method.__qualname__


def test_every_documented_route_has_a_method_of_the_client_or_a_reason() -> None:
    called = {call(method).route for method in METHODS}
    excused = {
        route
        for route in operations()
        for pattern in ROUTES_WITHOUT_A_METHOD
        if fnmatch(re.sub(r"{\w+}", "x", route), pattern)
    }
    assert set(operations()) - called - excused == set()
    assert called & excused == set(), "these have a method"


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_method_sends_what_the_document_describes(method: Callable[..., Any]) -> None:
    made = call(method)
    assert set(made.request.url.params) <= parameters(made.route, "query")
    schema = body_schema(made.route)
    if schema is None:
        assert made.body in (None, {})
    else:
        Draft202012Validator(schema).validate(made.body if made.body is not None else {})
        assert set(made.body or {}) <= _properties(schema)


def test_every_documented_field_and_parameter_can_be_sent() -> None:
    sent: dict[str, set[str]] = defaultdict(set)
    for method in METHODS:
        made = call(method)
        sent[made.route] |= {*(made.body or {}), *made.request.url.params}
    for route, names in sent.items():
        schema = body_schema(route)
        described = parameters(route, "query") | (_properties(schema) if schema else set())
        excused = {name for excused, name in PARAMETERS_NOT_SENT if excused == route}
        # A method sends `cursor` only for the second page, and here every list ends with its first page.
        assert described - names - excused - {"cursor"} == set(), route


def _properties(schema: dict[str, Any]) -> set[str]:
    """Return the properties of an object's schema, including those of its alternatives."""
    schema = samples.resolved(openapi(), schema)
    alternatives = [each for keyword in ("anyOf", "oneOf", "allOf") for each in schema.get(keyword, [])]
    return set(schema.get("properties", {})).union(*(_properties(each) for each in alternatives))


# --- answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_method_returns_what_the_document_describes(method: Callable[..., Any]) -> None:
    made = call(method)
    _, schema = answer_of(made.route)
    shape = made.returns
    if type(None) in get_args(shape):
        shape = get_args(shape)[0]
    if get_origin(shape) is list:
        assert isinstance(made.returned, list)
        assert schema is not None
        schema = samples.resolved(openapi(), samples.resolved(openapi(), schema)["properties"]["items"])[
            "items"
        ]
        shape = get_args(shape)[0]
    if is_typeddict(shape):
        assert schema is not None, f"{made.route} is described without a body"
        _same_fields(shape, schema, f"{made.route}: {shape.__name__}")


def _same_fields(shape: Any, schema: dict[str, Any], place: str) -> None:
    """Compare the fields of a shape of the client with a schema, and those of the objects in it."""
    schema = samples.resolved(openapi(), schema)
    described = _properties(schema)
    fields = get_type_hints(shape, include_extras=True)
    optional = {field for field, each in fields.items() if get_origin(each) is NotRequired}
    assert set(fields) - optional <= described <= set(fields), place
    for field, annotation in fields.items():
        inner = next((each for each in _parts(annotation) if is_typeddict(each)), None)
        found = next(_objects(schema.get("properties", {}).get(field, {})), None)
        if inner is not None and found is not None:
            _same_fields(inner, found, f"{place}.{field}")


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _parts(each)


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects' schemas in a property: itself, its alternatives, or the items of a list."""
    if "$ref" in schema or "properties" in schema:
        yield schema
    for each in (
        *schema.get("anyOf", []),
        *schema.get("oneOf", []),
        *schema.get("allOf", []),
        *([schema["items"]] if "items" in schema else []),
    ):
        yield from _objects(each)


# --- the socket -----------------------------------------------------------------------------------------


@cache
def payloads(action: str) -> dict[str, dict[str, Any]]:
    """Return the payload schemas of the socket's messages that the system sends (`send`) or receives (`receive`)."""
    described = asyncapi()
    found: dict[str, dict[str, Any]] = {}
    for operation in described["operations"].values():
        channel = samples.resolved(described, operation["channel"])
        if operation["action"] != action or not (channel.get("address") or "").endswith("/ws"):
            continue
        for reference in operation["messages"]:
            payload = samples.resolved(described, reference)["payload"]
            schema = samples.resolved(described, payload.get("schema", payload))
            name = schema["properties"]["event" if action == "send" else "op"]["const"]
            found[name] = {**schema, "components": described["components"]}
    return found


def test_a_channel_delivers_every_documented_frame(api: ScriptedApi) -> None:
    events = sorted(set(payloads("send")) - {"connected", "pong", "resync_required"})

    def serve(end: Socket) -> None:
        end.connected(seq=0)
        end.receive("resume")
        seq = 0
        for event in events:
            frame = samples.of_schema(asyncapi(), payloads("send")[event])
            if "seq" in payloads("send")[event].get("required", []):
                seq += 1
                frame["seq"] = seq
            else:
                frame.pop("seq", None)
            end.send_text(json.dumps(frame))
        end.send("pong")
        end.send("resync_required", {"oldestSeq": 90})
        assert end.receive("resume")["after"] == 89
        end.wait_until_closed()

    api.on_socket = [serve]
    with WeeloClient(api.url, "a token").listen(after=0) as channel:
        channel.wait_for("resync_required", within=10)
        received = [frame.event for frame in channel.frames]
    assert received == ["connected", *events, "resync_required"]


def test_a_channel_knows_no_frame_that_is_not_documented() -> None:
    code = (ROOT / "weelo_client" / "channel.py").read_text()
    known = set(re.findall(r'frame\.event == "(\w+)"', code))
    assert {"connected", "pong", "resync_required"} == known
    assert known <= set(payloads("send"))


def test_a_channel_sends_every_documented_message_and_no_other(api: ScriptedApi) -> None:
    def serve(end: Socket) -> None:
        end.send("connected", {"userId": "u", "role": "driver", "seq": 0, "heartbeatSeconds": 0.2})
        end.send("driver_timeout", {}, 1)
        for op in ("ack", "heartbeat", "auth", "ping"):
            if op not in {message["op"] for message in end.received}:
                end.receive(op)
        end.wait_until_closed()

    api.on_socket = [serve]
    with suppress(ChannelEnded), WeeloClient(api.url, "a token").listen(after=0) as channel:
        assert channel.heartbeat(28.6, 77.2) and channel.renew()
        received = eventually(
            lambda: len({each["op"] for each in api.sockets[0].received}) >= 5 and api.sockets[0].received
        )
    assert {message["op"] for message in received} == set(payloads("receive"))
    for message in received:
        Draft202012Validator(payloads("receive")[message["op"]]).validate(message)
