"""openapi.json is valid, describes every route, names every code, and its examples work."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from tests.architecture.api import app, asyncapi, openapi
from tests.architecture.breaking import breaking_changes
from weelo_api.openapi import headers, links
from weelo_api.openapi.examples import BODIES
from weelo_api.openapi.routes import routes
from weelo_workers.contracts.rejections import Code

METHODS = ("get", "post", "put", "delete", "patch")

# Pages for people: the documentation and the console. openapi.json does not describe them.
NOT_DESCRIBED = re.compile(r"/(docs|console)(/.*)?")

CODES_OF_NO_OPERATION = {
    # The API answers with this code if the document does not name the request's method. So the code belongs to no
    # operation.
    "METHOD_NOT_ALLOWED",
    # Only outcomes that earlier versions recorded have this code, so it is still in the schema of outcomes.
    "ACCEPT_RETRY_EXHAUSTED",
}


def described() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and operation of every operation of the document."""
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield path, method, operation


def resolved(thing: dict[str, Any]) -> dict[str, Any]:
    """Return the object to which a reference in the document leads. An object that is no reference is returned unchanged."""
    while "$ref" in thing:
        place: Any = openapi()
        for step in thing["$ref"].removeprefix("#/").split("/"):
            place = place[step]
        thing = place
    return thing


def codes_of(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the error codes of an operation's responses."""
    for response in map(resolved, operation["responses"].values()):
        schema = response.get("content", {}).get("application/problem+json", {}).get("schema", {})
        yield from schema.get("properties", {}).get("code", {}).get("enum", ())


# --- the document ---------------------------------------------------------------------------------------


def test_a_public_validator_accepts_the_document() -> None:
    validate(openapi())


def test_DOCS_01_every_route_is_described_and_every_description_has_a_route() -> None:
    rules = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    expected = {(path, method) for path, method in rules if not NOT_DESCRIBED.fullmatch(path)}
    assert {(path, method) for path, method, _ in described()} == expected


def test_operations_have_what_clients_need() -> None:
    ids = [operation["operationId"] for _, _, operation in described()]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in openapi()["tags"]}
    for path, method, operation in described():
        assert operation["summary"], f"{method} {path}"
        assert set(operation["tags"]) <= tags
    assert openapi()["servers"] == [{"url": "/", "description": "this server"}]
    assert all(tag["description"] for tag in openapi()["tags"])


def test_DOCS_01_every_code_is_an_answer_of_some_operation() -> None:
    found = {code for _, _, operation in described() for code in codes_of(operation)}
    assert {code.name for code in Code} - found == CODES_OF_NO_OPERATION


def test_a_code_is_described_under_its_status_with_an_example() -> None:
    for path, method, operation in described():
        for status, response in operation["responses"].items():
            content = resolved(response).get("content", {}).get("application/problem+json")
            if content is None:
                continue
            names = content["schema"]["properties"]["code"]["enum"]
            assert {str(Code[name].http_status) for name in names} == {status}, f"{method} {path}"
            assert set(content["examples"]) == set(names)


@pytest.mark.parametrize("code", Code, ids=lambda code: code.name)
def test_the_example_of_a_code_is_a_problem(code: Code) -> None:
    example = openapi()["components"]["examples"][code.name]["value"]
    schema = {"$ref": "#/components/schemas/Problem", "components": openapi()["components"]}
    Draft202012Validator(schema).validate(example)
    assert (example["code"], example["status"]) == (code.name, code.http_status)
    assert example["type"] == f"/docs/codes#{code.name}"


def test_no_answer_is_an_untyped_object() -> None:
    # Three fields may be objects of any kind. `Frame.data` is described in asyncapi.json, `TimelineEntry.details` has
    # figures for people, and `AuditView.details` can have any field of an operator's command.
    free = {"Frame.data", "TimelineEntry.details", "AuditView.details"}
    # The fields with the settings of a policy may be objects of any kind, too, because their settings differ by
    # version.
    free |= {"PolicyVersionView.settings", "PolicyView.settings", "PolicyView.effective"}
    for name, schema in openapi()["components"]["schemas"].items():
        assert schema != {"type": "object"}, name
        for field, value in schema.get("properties", {}).items():
            typed = {"type", "$ref", "anyOf", "oneOf", "allOf", "const", "enum"} & set(value)
            untyped = value.get("type") == "object" and "properties" not in value
            assert (typed and not untyped) or f"{name}.{field}" in free, f"{name}.{field}"


def test_no_field_has_a_default_of_null() -> None:
    """In types generated from such a field, the field would be required, with null as a possible value."""
    assert not [node for node in _nodes(openapi()["components"]) if node.get("default", ...) is None]


def test_no_union_stands_beside_the_fields_of_an_object() -> None:
    """Generators of clients take the union for the whole type. The object's fields, or even the operation, would be lost."""
    nodes = [*_nodes(openapi()["components"]), *_nodes(asyncapi()["components"])]
    assert not [node for node in nodes if "properties" in node and {"anyOf", "oneOf"} & set(node)]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)


def test_a_header_has_one_entry() -> None:
    for table in (headers.REQUEST_HEADERS, headers.ANSWER_HEADERS):
        names = [each.name for each in table]
        assert len(set(names)) == len(names)


def test_links_lead_to_operations_with_such_a_parameter() -> None:
    by_id = {operation["operationId"]: operation for _, _, operation in described()}
    used = {name for _, _, o in described() for r in o["responses"].values() for name in r.get("links", {})}
    assert used == set(links.LINKS)
    for link in openapi()["components"]["links"].values():
        parameters = {each.get("name") for each in by_id[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= parameters


# --- declarations and examples --------------------------------------------------------------------------


SUBMITTED = {command.name: command for route in routes(app()) if (command := route.declared.command)}


@pytest.mark.parametrize("name", sorted(SUBMITTED))
def test_a_command_of_clients_declares_its_codes(name: str) -> None:
    assert "rejects" in vars(SUBMITTED[name]), f"class {SUBMITTED[name].__name__}(Command, …, rejects=(…))"


def test_every_body_has_an_example_and_every_example_is_valid() -> None:
    bodies = {route.body for route in routes(app()) if route.body}
    assert set(BODIES) == bodies
    for model, examples in BODIES.items():
        assert examples
        schema = {"$ref": f"#/components/schemas/{model.__name__}", "components": openapi()["components"]}
        for example in examples.values():
            model.model_validate_json(json.dumps(example))
            Draft202012Validator(schema).validate(example)


def test_rules_that_need_two_fields_are_described() -> None:
    """The schemas accept the right combinations of two fields and refuse the wrong ones, as the models do."""
    one = "0b7c6a52-1f0e-4d0a-9c55-6a1f6c1b2d02"
    truck = {"vehicleId": one, "driverId": one}
    for name, right in (
        ("Acceptance", {**truck, "trucks": None}),
        ("Acceptance", {"vehicleId": None, "driverId": None, "trucks": [truck], "partial": True}),
        ("Replacement", {"driverId": one, "vehicleId": None}),
        ("Replacement", {"driverId": None, "vehicleId": one}),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": openapi()["components"]}
        Draft202012Validator(schema).validate(right)
    for name, wrong in (
        ("Acceptance", {**truck, "trucks": [truck]}),
        ("Acceptance", {"driverId": one, "trucks": [truck]}),
        ("Replacement", {"driverId": None, "vehicleId": None}),
        ("Acceptance", {}),
        ("Acceptance", {"vehicleId": None, "driverId": None, "trucks": None}),
        ("Acceptance", {"vehicleId": one}),
        ("Replacement", {"reasonCode": "breakdown"}),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": openapi()["components"]}
        assert not Draft202012Validator(schema).is_valid(wrong), (name, wrong)


# --- breaking changes -----------------------------------------------------------------------------------

ACCEPT = "/api/v1/broadcasts/{id}/accept"


def _changed(*steps: str, to: Any = None) -> dict[str, Any]:
    """Return a copy of the document in which the value at this place is replaced by `to`, or removed if `to` is None."""
    document = copy.deepcopy(openapi())
    place: Any = document
    for step in steps[:-1]:
        place = place[step]
    if to is None:
        del place[steps[-1]]
    else:
        place[steps[-1]] = to
    return document


SCHEMAS = ("components", "schemas")


@pytest.mark.parametrize(
    ("steps", "to", "change"),
    [
        (("paths", ACCEPT), None, "the route is gone"),
        (("paths", ACCEPT, "post", "responses", "200"), None, "200 is gone"),
        (("paths", ACCEPT, "post", "responses", "200", "headers", "Location"), None, "the header Location"),
        ((*SCHEMAS, "AcceptResult", "properties", "trucksFilled"), None, "trucksFilled: the field is gone"),
        ((*SCHEMAS, "AcceptResult", "properties", "status"), {"type": "integer"}, "may be integer now"),
        ((*SCHEMAS, "AcceptResult", "required"), ["assignments"], "trucksFilled: the field may be absent"),
        ((*SCHEMAS, "OneTruck", "properties", "driverId"), None, "driverId: the field is gone"),
        ((*SCHEMAS, "NewBooking", "required"), ["notes"], "notes: the field is required now"),
        ((*SCHEMAS, "NewBooking", "properties", "trucksNeeded", "maximum"), 3, "maximum is 3 now"),
        ((*SCHEMAS, "NewBooking", "properties", "trucksNeeded", "type"), "string", "integer is no longer"),
        ((*SCHEMAS, "CustomerReason", "enum"), ["price"], "too_slow"),
        (("components", "parameters", "Prefer", "required"), True, "the parameter Prefer is required"),
    ],
)  # fmt: skip
def test_a_breaking_change_is_named(steps: tuple[str, ...], to: Any, change: str) -> None:
    found = breaking_changes(openapi(), _changed(*steps, to=to))
    assert any(change in line for line in found), found


@pytest.mark.parametrize(
    ("steps", "to"),
    [
        ((*SCHEMAS, "AcceptResult", "properties", "more"), {"type": "string"}),
        ((*SCHEMAS, "NewBooking", "properties", "more"), {"type": "string"}),
        ((*SCHEMAS, "CodeName", "enum"), [*(code.name for code in Code), "NEW_CODE"]),
        (("paths", "/api/v1/new"), {"get": {"responses": {}}}),
    ],
)
def test_an_addition_is_not_breaking(steps: tuple[str, ...], to: Any) -> None:
    assert breaking_changes(openapi(), _changed(*steps, to=to)) == []
