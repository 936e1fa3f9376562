"""The pages of policies: what is in force, the form that previews and stores a version, and the levers of a scope."""

from __future__ import annotations

import re
from typing import Any

from tests.console.operator import Operator
from tests.support.world import World

FORM: dict[str, str] = {
    "latitude": "28.6139",
    "longitude": "77.209",
    "radiusKm": "40",
    "radiusStepsKm": "5, 15, 40",
    "holdSeconds": "45",
    "reason": "rings follow too slowly",
}


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def store(world: World, operator: Operator, key: str, **changed: str) -> None:
    outcome = operator.send("/policies/delhi", {**FORM, "key": key, **changed})
    command = operator.command_id(outcome)
    world.bus.execute(command)
    assert "applied" in operator.get(f"/commands/{command}")


def test_the_form_stores_a_version_and_the_page_shows_what_it_has_changed(
    world: World, operator: Operator
) -> None:
    assert "No version of this scope is stored." in words(operator.get("/policies/delhi"))
    store(world, operator, "the first form")
    store(world, operator, "the second form", holdSeconds="", radiusKm="35", vehicleTypes="open")
    page = words(operator.get("/policies/delhi"))
    assert "version 2 · 35 km around 28.6139, 77.2090 · open" in page
    assert "hold seconds: 45 → not set" in page
    assert "area: 40 km around 28.6139, 77.2090 → 35 km around 28.6139, 77.2090" in page
    assert "vehicle types: not set → open" in page
    assert "radius steps km: not set → 5,15,40" in page
    listed = words(operator.get("/policies"))
    assert "delhi accepted 35 km around 28.6139, 77.2090 open radius steps km 5,15,40 2" in listed
    assert "store policy delhi" in words(operator.get("/audit"))


def test_a_preview_shows_the_changes_and_stores_nothing(world: World, operator: Operator) -> None:
    shown = operator.send("/policies/delhi", {**FORM, "preview": "yes"}).text
    assert "Preview of version 1. Nothing is stored." in words(shown)
    assert "hold seconds: 90 → 45" in words(shown)
    assert world.value("SELECT count(*) FROM mailbox") == 0


def test_an_impossible_version_is_refused_with_its_field(world: World, operator: Operator) -> None:
    for changed, field in (
        ({"radiusStepsKm": "15, 5"}, "settings.radiusStepsKm"),
        ({"holdSeconds": "soon"}, "settings.holdSeconds"),
        ({"radiusStepSeconds": "600"}, "settings.radiusStepSeconds"),
        ({"latitude": ""}, "area.center.latitude"),
    ):
        form: dict[str, Any] = {**FORM, **changed}
        assert field in operator.send("/policies/delhi", {**form, "preview": "yes"}).text
        assert field in operator.send("/policies/delhi", {**form, "key": "a key of it"}).text
    assert "reason" in operator.send("/policies/delhi", {**FORM, "reason": " ", "key": "another key"}).text
    assert world.value("SELECT count(*) FROM mailbox") == 0


def test_the_levers_pause_a_scope_and_resume_it(world: World, operator: Operator) -> None:
    for name, shown in (("pause", "new requests are paused"), ("resume", "new requests are accepted")):
        assert f"levers/{name}" in operator.get("/policies/default")
        outcome = operator.use(
            f"/policies/default/levers/{name}", "the roads are flooded", key=f"to {name} it"
        )
        world.bus.execute(operator.command_id(outcome))
        assert shown in operator.get("/policies/default")
    assert "resume default" in words(operator.get("/audit"))


def test_a_name_that_no_scope_can_have_has_no_page(world: World, operator: Operator) -> None:
    for address in ("/console/policies/Delhi!", "/console/policies?scope=Delhi!"):
        assert operator.client.get(address).status_code == 404
    leads = operator.client.get("/console/policies?scope=delhi")
    assert (leads.status_code, leads.headers["Location"]) == (303, "/console/policies/delhi")
