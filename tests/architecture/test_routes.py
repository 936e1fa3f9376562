"""The API's routes are those of the contract, each declares its roles, and both API descriptions are valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.architecture.api import OFF_THE_PREFIX, PREFIX, app, openapi, operations, routes
from weelo_workers.contracts.statuses import Role

CUSTOMER, TRANSPORTER, DRIVER, ADMIN = Role.CUSTOMER, Role.TRANSPORTER, Role.DRIVER, Role.ADMIN
ANY = frozenset(Role)

# The roles that may send each command (CONTRACT section 3).
COMMANDS = {
    "POST /bookings": {CUSTOMER},
    "POST /orders": {CUSTOMER},
    "PUT /bookings/{}/cancel": {CUSTOMER},
    "PUT /orders/{}/cancel": {CUSTOMER},
    "POST /orders/{}/continue-partial": {CUSTOMER},
    "POST /bookings/{}/continue-partial": {CUSTOMER},
    "POST /broadcasts/{}/accept": {TRANSPORTER},
    "POST /truck-requests/{}/accept": {TRANSPORTER},
    "POST /broadcasts/{}/decline": {TRANSPORTER},
    "POST /broadcasts/{}/hold": {TRANSPORTER},
    "POST /holds/{}/confirm": {TRANSPORTER},
    "POST /holds/{}/release": {TRANSPORTER},
    "PUT /transporter/availability": {TRANSPORTER},
    "PUT /vehicles/{}": {TRANSPORTER},
    "PUT /drivers/{}": {TRANSPORTER},
    "POST /assignments/{}/accept": {DRIVER},
    "POST /assignments/{}/decline": {DRIVER},
    "POST /assignments/{}/give-back": {DRIVER, TRANSPORTER},
    "POST /assignments/{}/replace": {TRANSPORTER},
    "POST /assignments/{}/no-show": {DRIVER},
    "POST /assignments/{}/cancel": {CUSTOMER},
    "POST /assignments/{}/end": {ADMIN},
    "POST /admin/broadcasts/{}/cancel": {ADMIN},
    "POST /admin/broadcasts/{}/expire": {ADMIN},
    "POST /admin/broadcasts/{}/widen": {ADMIN},
    "PUT /admin/transporters/{}/availability": {ADMIN},
    "PUT /admin/policies/{}": {ADMIN},
    "PUT /admin/policies/{}/paused": {ADMIN},
    "PUT /trips/{}/status": {DRIVER},
    "PUT /driver/availability": {DRIVER},
    "PUT /devices/{}": ANY,
    "DELETE /devices/{}": ANY,
    "PUT /relations/transporters/{}": {CUSTOMER},
    "DELETE /relations/transporters/{}": {CUSTOMER},
    "PUT /relations/customers/{}": {TRANSPORTER},
    "DELETE /relations/customers/{}": {TRANSPORTER},
    "PUT /admin/customers/{}/transporters/{}": {ADMIN},
    "DELETE /admin/customers/{}/transporters/{}": {ADMIN},
    "POST /webhooks": ANY,
    "PUT /webhooks/{}": ANY,
    "DELETE /webhooks/{}": ANY,
    "POST /webhooks/{}/rotate-secret": ANY,
    "POST /webhooks/{}/resend": ANY,
    "POST /webhooks/{}/test": ANY,
}
TELEMETRY = {"POST /transporter/heartbeat": {TRANSPORTER}, "POST /trips/{}/location": {DRIVER}}
READS = {
    "GET /bookings/{}",
    "GET /orders/{}",
    "GET /broadcasts/{}",
    "GET /broadcasts",
    "GET /broadcasts/current",
    "GET /broadcasts/{}/timeline",
    "GET /offers",
    "GET /assignments",
    "GET /broadcasts/{}/offers",
    "GET /broadcasts/{}/offers/{}",
    "GET /vehicle-kinds",
    "GET /reasons",
    "GET /vehicles",
    "GET /drivers",
    "GET /transporter/availability",
    "GET /events",
    "GET /commands/{}",
    "GET /relations",
    "GET /webhooks",
    "GET /webhooks/{}",
    "GET /webhooks/{}/deliveries",
    "GET /admin/market",
    "GET /admin/broadcasts",
    "GET /admin/transporters",
    "GET /admin/transporters/{}",
    "GET /admin/stuck",
    "GET /admin/audit",
    "GET /admin/policies",
    "GET /admin/policies/{}/versions",
    "POST /admin/policies/{}/preview",
}
WEBSOCKET = "GET /ws"

# --- routes ---------------------------------------------------------------------------------------------


def test_the_routes_are_those_of_the_contract() -> None:
    promised = {*COMMANDS, *TELEMETRY, *READS, WEBSOCKET}
    assert set(routes()) == promised


@pytest.mark.parametrize("route", sorted(OFF_THE_PREFIX))
def test_the_pages_off_the_prefix_are_there(route: str) -> None:
    paths = {rule.rule.rstrip("/") for rule in app().url_map.iter_rules()}
    assert route.removeprefix("GET ") in paths


@pytest.mark.parametrize("route", sorted({*COMMANDS, *TELEMETRY, *READS}))
def test_every_route_declares_who_may_call_it(route: str) -> None:
    roles = getattr(app().view_functions[routes()[route]], "roles", None)
    assert roles, f"{route} declares no roles: mark its view with @allow"
    if route not in READS:
        assert roles == {**COMMANDS, **TELEMETRY}[route]


@pytest.mark.parametrize("route", sorted({*COMMANDS, *TELEMETRY, *READS}))
def test_nobody_gets_in_without_a_token(route: str) -> None:
    method, _, path = route.partition(" ")
    url = PREFIX + path.replace("{}", "0" * 8)
    response = app().test_client().open(url, method=method, data=b"{not json")
    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.get_json()["code"] == "UNAUTHORIZED"


# --- openapi.json ---------------------------------------------------------------------------------------


def test_413_and_415_are_described_for_routes_that_read_a_body_and_no_others() -> None:
    """The routes of all commands read the body: a command that needs none refuses a request whose body has fields."""
    reading = {route for route, operation in operations() if "requestBody" in operation} | set(COMMANDS)
    assert len(reading) > 10
    for status in ("413", "415"):
        assert reading == {route for route, operation in operations() if status in operation["responses"]}


def test_errors_of_commands_are_described_for_commands_and_no_others() -> None:
    for status in ("202", "422", "429"):
        assert {route for route, operation in operations() if status in operation["responses"]} == set(
            COMMANDS
        )
    assert all("503" in operation["responses"] for _, operation in operations())


def test_openapi_names_every_route() -> None:
    """openapi.json describes the opening of the WebSocket. asyncapi.json describes its frames."""
    assert openapi()["openapi"].startswith("3.1.")
    assert {route for route, _ in operations()} == set(routes())


def test_every_write_is_a_command_or_telemetry() -> None:
    for route, operation in operations():
        answers = set(operation["responses"])
        if route in COMMANDS:
            assert "202" in answers, f"{route} has no 202"
            assert answers & {"200", "201"}, f"{route} describes no response for its outcome"
        elif route in TELEMETRY:
            assert "204" in answers, f"{route} is telemetry and has no 204"


@pytest.mark.parametrize("route", sorted(READS))
def test_a_read_says_what_it_answers(route: str) -> None:
    (operation,) = [operation for name, operation in operations() if name == route]
    assert operation["responses"].get("200", {}).get("content"), f"openapi.json has no 200 for {route}"


def test_openapi_is_sound() -> None:
    _every_reference_leads_somewhere(openapi())
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names)
    for route, operation in operations():
        given = [p["name"] for p in operation.get("parameters", []) if p.get("in") == "path"]
        assert len(given) == route.count("{}"), f"{route} describes {given}"
        assert operation.get("summary"), f"{route} has no summary"
        assert operation["security"] == ([{"jwt": []}, {}] if route == WEBSOCKET else [{"jwt": []}])
    for schema in _schemas(openapi()):
        Draft202012Validator.check_schema(schema)


def _every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for node in _nodes(document):
        reference = node.get("$ref")
        if isinstance(reference, str):
            assert reference.startswith("#/"), reference
            place: Any = document
            for step in reference.removeprefix("#/").split("/"):
                assert step in place, f"{reference} leads nowhere"
                place = place[step]


def _schemas(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["components"]["schemas"].values()
    for node in _nodes(document["paths"]):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON document."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)
