"""docs/contract.md, section 12, has the routes of a sandbox with the fields of their bodies and answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.support.changed_settings import with_settings
from weelo_api import create_app
from weelo_api.sandbox import shapes
from weelo_api.sandbox.behaviours import Behaviour

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"

# The body and the answer of each route.
ROUTES: dict[str, tuple[type[BaseModel] | None, type[BaseModel] | None]] = {
    "GET /clock": (None, shapes.ClockView),
    "POST /clock/advance": (shapes.Advance, shapes.AdvancedView),
    "POST /fleets": (shapes.NewFleet, shapes.FleetView),
    "DELETE /fleets/{}": (None, None),
    "POST /reset": (None, None),  # "200 as `clock`"
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
