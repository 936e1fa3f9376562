"""asyncapi.json is valid and describes all frames, ops and pushes, with the examples and schemas of the code."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft7Validator

from tests.architecture.api import asyncapi
from tests.architecture.breaking import breaking_changes
from tests.support.message_checks import problems_of, schema_of
from tests.support.sources import ROOT
from weelo_api.websocket.close_codes import CloseCode
from weelo_api.websocket.messages import EPHEMERAL, Op, name_of, parse
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.results import RESULTS
from weelo_workers.contracts.webhooks import TEST_EVENT
from weelo_workers.messaging.handlers import handler_for
from weelo_workers.notifications.catalog import CATALOG, Audience

EVENTS = {route.name: route for route in CATALOG.values()}
OPS = {f"op_{name_of(op)}" for op in get_args(Op)}
PUSHES = {f"push_{route.name}" for route in CATALOG.values() if route.pushed}
FRAMES = set(EVENTS) | set(EPHEMERAL)
POSTS = {*EVENTS, TEST_EVENT}
"""The messages that are posted to webhooks."""
PARSER = ROOT / "tests" / "architecture" / "asyncapi_parser"


def messages() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = asyncapi()["components"]["messages"]
    return found


# --- the whole document -----------------------------------------------------------------------------------


def test_the_public_parser_finds_no_fault() -> None:
    """The AsyncAPI initiative's parser checks the document against the schema and the further rules of the specification."""
    if shutil.which("node") is None:
        pytest.skip("Node is missing")
    if not (PARSER / "node_modules").exists():
        pytest.skip("the parser is missing: run `make asyncapi-parser`")
    done = subprocess.run(
        ["node", "validate.cjs"],
        cwd=PARSER,
        input=json.dumps(asyncapi()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    faults = [line for line in done.stdout.splitlines() if not line.startswith("information: ")]
    assert (done.returncode, faults, done.stderr) == (0, [], "")


def test_DOCS_01_it_has_every_frame_op_push_and_post_and_no_other() -> None:
    assert set(messages()) == FRAMES | OPS | PUSHES | POSTS


def test_each_direction_and_channel_has_its_messages() -> None:
    assert _operations() == {
        "sendEvents": ("send", "events", FRAMES),
        "receiveOps": ("receive", "events", OPS),
        "sendPushes": ("send", "pushes", PUSHES),
        "sendWebhooks": ("send", "webhooks", POSTS),
    }
    channels = asyncapi()["channels"]
    assert set(channels["events"]["messages"]) == FRAMES | OPS
    assert set(channels["pushes"]["messages"]) == PUSHES
    assert set(channels["webhooks"]["messages"]) == POSTS


def _operations() -> dict[str, tuple[str, str, set[str]]]:
    return {
        name: (
            operation["action"],
            operation["channel"]["$ref"].rpartition("/")[2],
            {each["$ref"].rpartition("/")[2] for each in operation["messages"]},
        )
        for name, operation in asyncapi()["operations"].items()
    }


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    references = {node["$ref"] for node in _nodes(asyncapi()) if isinstance(node.get("$ref"), str)}
    for reference in references:
        place: Any = asyncapi()
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, f"{reference} leads nowhere"
            place = place[step]
    unused = {f"#/components/schemas/{name}" for name in asyncapi()["components"]["schemas"]} - references
    assert not unused


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each)


def test_the_socket_names_its_servers_its_security_and_its_close_codes() -> None:
    events = asyncapi()["channels"]["events"]
    servers = asyncapi()["servers"]
    assert events["address"] == "/api/v1/ws"
    assert [each["$ref"] for each in events["servers"]] == ["#/servers/ws", "#/servers/wss"]
    for name in ("ws", "wss"):
        assert servers[name]["protocol"] == name
        assert [each["$ref"].rpartition("/")[2] for each in servers[name]["security"]] == [
            "bearer",
            "firstFrame",
        ]
    assert {each["code"] for each in events["x-close-codes"]} == set(CloseCode)
    assert all(f"| {code.value} | {code.meaning} |" in events["description"] for code in CloseCode)


def _without_an_op(document: dict[str, Any]) -> None:
    del document["components"]["messages"]["op_ack"]


def _without_a_field(document: dict[str, Any]) -> None:
    del document["components"]["schemas"]["NewBroadcast"]["properties"]["pickup"]


def _with_a_field_that_may_be_absent(document: dict[str, Any]) -> None:
    document["components"]["messages"]["push_trip_assigned"]["payload"]["required"].remove("assignmentId")


def _with_a_required_field(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Ack"]["required"].append("device")


def _with_a_new_field(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Pong"]["properties"]["region"] = {"type": "string"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_without_an_op, "op_ack: the message is gone"),
        (_without_a_field, "new_broadcast.data NewBroadcast.pickup: the field is gone"),
        (_with_a_field_that_may_be_absent, "push_trip_assigned.assignmentId: the field may be absent now"),
        (_with_a_required_field, "op_ack Ack.device: the field is required now"),
        (_with_a_new_field, None),
    ],
)
def test_a_change_that_breaks_clients_is_named(
    change: Callable[[dict[str, Any]], None], named: str | None
) -> None:
    changed = json.loads(json.dumps(asyncapi()))
    change(changed)
    assert breaking_changes(asyncapi(), changed) == ([named] if named else [])


# --- messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FRAMES | OPS | PUSHES | POSTS))
def test_a_message_has_a_summary_a_sound_schema_and_examples_that_it_allows(name: str) -> None:
    message = messages()[name]
    assert message["summary"].endswith("."), f"{name}: {message['summary']!r} is no sentence"
    assert message["examples"], f"{name} has no example in weelo_api/websocket/asyncapi/examples.py"
    Draft7Validator.check_schema(schema_of(name))
    for example in message["examples"]:
        assert problems_of(name, example["payload"]) == []


@pytest.mark.parametrize("name", sorted(FRAMES | PUSHES | POSTS))
def test_a_message_names_its_readers(name: str) -> None:
    message = messages()[name]
    event = name.removeprefix("push_")
    if event in EVENTS:
        audiences = EVENTS[event].audiences
        assert all(isinstance(each, Audience) for each in audiences)
        assert message["x-recipients"] == [each.text for each in audiences if isinstance(each, Audience)]
    assert message["x-recipients"]
    assert all(reader in message["description"] for reader in message["x-recipients"])
    if name in FRAMES | POSTS:
        assert message["x-pushed"] == (f"push_{name}" in PUSHES)


@pytest.mark.parametrize("name", sorted(FRAMES | PUSHES | POSTS))
def test_a_check_finds_a_field_that_is_missing_unknown_or_of_another_type(name: str) -> None:
    """All other tests check messages by `problems_of`, so it must find every kind of deviation."""
    example = messages()[name]["examples"][0]["payload"]
    for path, value in _values(example):
        if path[:2] != ("data", "result"):  # without a field, a result may still match another shape
            assert problems_of(name, _changed(example, path, lambda parent, key: parent.pop(key))) or (
                _optional(name, path)
            ), f"{name} without {path}"
        other = 1 if isinstance(value, str | None | dict | list) else "?"
        changed = _changed(example, path, lambda parent, key, other=other: parent.__setitem__(key, other))  # type: ignore[misc]
        assert problems_of(name, changed) or (value is None and other == 1), f"{name}: {path} = {other!r}"
    for path in [(), *(path for path, value in _values(example) if isinstance(value, dict))]:
        if path[:2] == ("data", "error"):
            continue
        changed = _changed(example, (*path, "more"), lambda parent, key: parent.__setitem__(key, 1))
        assert problems_of(name, changed), f"{name}: an unknown field in {path}"


def _values(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield (path, value) for every member of an object and of the objects in it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key), each
            yield from _values(each, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], change: Callable[[Any, Any], object]) -> Any:
    copy = json.loads(json.dumps(value))
    parent = copy
    for step in path[:-1]:
        parent = parent[step]
    change(parent, path[-1])
    return copy


def _optional(name: str, path: tuple[Any, ...]) -> bool:
    """Return whether a message is complete without this field. Only `expiresAt` of a push may be absent."""
    return name.startswith("push_") and path == ("expiresAt",)


@pytest.mark.parametrize("command", sorted(REGISTRY))
def test_the_result_of_a_command_is_what_its_handler_returns(command: str) -> None:
    load_handlers()
    returned = get_type_hints(handler_for(command))["return"]
    assert RESULTS.get(REGISTRY[command], type(None)) is returned


# --- ops --------------------------------------------------------------------------------------------------


@lru_cache
def _op_schema() -> Draft7Validator:
    document = asyncapi()
    return Draft7Validator(
        {"oneOf": [schema_of(name) for name in sorted(OPS)], "components": document["components"]}
    )


_ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    # Floats with an integral value, such as 1.0, are left out: JSON Schema accepts them as integers and the server
    # refuses them. No JSON library writes an integer in this form.
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    st.sampled_from(["", "1", "x", [], {}, 2**63 - 1, 2**63, 90, 90.5, -90, 180, 180.1]),
)
_FIELDS = ["token", "after", "seq", "latitude", "longitude", "more", "Op"]


@settings(deadline=None, max_examples=1_000)
@given(
    op=st.one_of(st.sampled_from([name.removeprefix("op_") for name in sorted(OPS)]), _ANY),
    fields=st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=3),
)
def test_the_server_accepts_the_ops_that_the_document_allows_and_no_other(
    op: Any, fields: dict[str, Any]
) -> None:
    message = {"op": op, **fields}
    try:
        parse(json.dumps(message))
        refused = None
    except Rejected as rejected:
        refused = rejected.code
    assert refused == (None if _op_schema().is_valid(message) else Code.VALIDATION_ERROR), message
