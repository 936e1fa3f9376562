"""The page docs/contract.md and a sandbox's openapi.json describe the routes of a sandbox, with bodies and responses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import BaseModel

from tests.support import deviations
from tests.support.changed_settings import with_settings
from weelo_api import create_app
from weelo_api.http.access import without_token
from weelo_api.sandbox import shapes
from weelo_api.sandbox.behaviours import Behaviour

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"

# The body and the response of each route.
ROUTES: dict[str, tuple[type[BaseModel] | None, type[BaseModel] | None]] = {
    "GET /clock": (None, shapes.ClockView),
    "POST /clock/advance": (shapes.Advance, shapes.AdvancedView),
    "POST /fleets": (shapes.NewFleet, shapes.FleetView),
    "DELETE /fleets/{}": (None, None),
    "POST /reset": (None, None),  # for its response, docs/contract.md refers to that of `GET /clock`
    "POST /tokens": (shapes.TokenRequest, shapes.TokenView),
}


def rows() -> dict[str, tuple[str, str]]:
    _, _, section = PAGE.read_text().partition("## 12. Sandbox\n")
    found = re.findall(r"^\| `(\w+) /api/v1/sandbox(\S+)` \| (.*?) \| (.*) \|$", section, re.MULTILINE)
    return {
        f"{method} {re.sub(r'{[^}]+}', '{}', path)}": (body, result) for method, path, body, result in found
    }


def test_the_page_has_the_routes_of_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    with_settings(monkeypatch, weelo_env="sandbox")
    prefix = "/api/v1/sandbox"
    there = {
        f"{method} {re.sub(r'<[^>]+>', '{}', rule.rule.removeprefix(prefix))}"
        for rule in create_app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(f"{prefix}/")
    }
    assert set(rows()) == there == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_the_page_has_the_fields_of_each_route(route: str) -> None:
    body, answer = ROUTES[route]
    in_body, in_answer = rows()[route]
    names = set(re.findall(r"[a-zA-Z]+", " ".join(re.findall(r"`([^`]+)`", in_body))))
    assert names == {field.alias for field in (body.model_fields.values() if body else ())}
    optional = set(re.findall(r"(\w+)\?", in_body))
    fields = body.model_fields.values() if body else ()
    assert optional == {field.alias for field in fields if not field.is_required()}
    if answer is not None:
        shown = re.search(r"`\{([^}]+)\}`", in_answer)
        assert shown
        assert set(shown[1].split(", ")) == {field.alias for field in answer.model_fields.values()}


def test_both_pages_have_every_behaviour() -> None:
    for page in (PAGE, PAGE.with_name("sandbox.md")):
        assert {each for each in Behaviour if f"`{each}`" in page.read_text()} == set(Behaviour)


# --- openapi.json -----------------------------------------------------------------------------------------


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """Return a client of the application of a sandbox."""
    with_settings(monkeypatch, weelo_env="sandbox")
    return create_app().test_client()


def test_the_document_of_a_sandbox_says_which_routes_need_no_token(document: dict[str, Any]) -> None:
    intro = document["info"]["description"]
    assert "`POST /api/v1/sandbox/tokens`" in intro and "Every other request" in intro
    ordinary = json.loads(PAGE.with_name("openapi.json").read_text())["info"]["description"]
    assert "sandbox" not in ordinary and "Every request under `/api/v1` needs" in ordinary


def test_the_first_page_of_another_server_names_the_sandbox_only_to_read_on() -> None:
    page = create_app().test_client().get("/docs").text
    assert (
        "weelo token --role" in page and 'id="sandbox"' not in page and "data-dir .weelo-sandbox" not in page
    )


def test_the_first_page_of_a_sandbox_gives_commands_for_a_sandbox(client: FlaskClient) -> None:
    page = client.get("/docs").text
    assert "weelo token --role" not in page
    assert {f"/api/v1/sandbox{route.partition(' ')[2].replace('{}', '{id}')}" for route in ROUTES} <= set(
        re.findall(r"/api/v1/sandbox/[a-z/{}]+", page)
    )
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """Return the document of a sandbox."""
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def test_a_public_validator_accepts_the_document_of_a_sandbox(document: dict[str, Any]) -> None:
    validate(document)


def test_the_document_of_a_sandbox_is_the_ordinary_one_and_its_own_routes(document: dict[str, Any]) -> None:
    ordinary = json.loads(PAGE.with_name("openapi.json").read_text())
    own = {path for path in document["paths"] if path.startswith("/api/v1/sandbox/")}
    assert {f"/api/v1/sandbox{route.partition(' ')[2]}" for route in ROUTES} == {
        re.sub(r"{\w+}", "{}", path) for path in own
    }
    assert {path: each for path, each in document["paths"].items() if path not in own} == ordinary["paths"]
    for kind, parts in ordinary["components"].items():
        for name, part in parts.items():
            assert document["components"][kind][name] == part, f"{kind}: {name}"


@pytest.mark.parametrize(
    "body", [each for each, _ in ROUTES.values() if each], ids=lambda body: body.__name__
)
def test_a_body_has_examples_that_its_schema_allows(document: dict[str, Any], body: type[BaseModel]) -> None:
    schema = document["components"]["schemas"][body.__name__]
    assert schema["examples"]
    for example in schema["examples"]:
        Draft202012Validator({**schema, "components": document["components"]}).validate(example)


def test_answers_of_a_sandbox_are_compared_with_its_own_document(client: FlaskClient) -> None:
    for role in ("customer", "king"):
        client.post("/api/v1/sandbox/tokens", json={"role": role})
        assert deviations.take() == []
    client.application.view_functions["sandbox.create_token"] = without_token(lambda: ({"token": 1}, 201))
    client.post("/api/v1/sandbox/tokens", json={"role": "customer"})
    found = deviations.take()
    assert any('/sandbox/tokens 201: the body: "userId" is a required' in each for each in found), found
