"""The pages of policies: which are in force, their versions with differences, and the forms that change and pause them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from flask import Response, redirect, request
from pydantic import TypeAdapter, ValidationError

from weelo_api.console.levers import send
from weelo_api.console.routes import api, page
from weelo_api.http.errors import validation_error
from weelo_api.views.common import primary_session, replica_session
from weelo_api.views.policies import admission, put_command
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.policies import (
    NewPolicyVersion,
    PausePolicy,
    PolicyPause,
    PolicySettings,
    PreviewedPolicy,
    ScopeName,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.vehicle_kinds import TYPES
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.queries import policies
from weelo_workers.queries.pages import PageRequest

VERSIONS_SHOWN = 20

_SCOPE: TypeAdapter[str] = TypeAdapter(ScopeName)
_NAMES = {field.alias or name: field.description or "" for name, field in PolicySettings.model_fields.items()}


@dataclass(frozen=True, slots=True)
class Lever:
    """A lever that pauses a scope or ends its pause, with the fields that the templates' macro for levers reads."""

    name: str
    label: str
    effect: str
    is_final: bool = False


PAUSE = Lever(
    "pause",
    "Pause",
    "Refuses new requests in this scope until you resume it. Open broadcasts go on.",
    is_final=True,
)
RESUME = Lever("resume", "Resume", "Accepts new requests in this scope again.")


@api.get("/policies")
def all_policies() -> Response | str:
    """Return the page with the policy of each scope. With `?scope=`: redirect to the page of this scope."""
    if wanted := request.args.get("scope"):
        return redirect(f"/console/policies/{_scope(wanted.strip())}", 303)  # type: ignore[return-value]
    with replica_session() as session:
        found = policies.policies(session)
    return page("policies.html", policies=found.items)


@api.get("/policies/<scope>")
def policy(scope: str) -> str:
    """Return the page of a scope: its policy with all versions, or the form for a new scope."""
    with primary_session() as session:
        found = policies.policy(session, _scope(scope))
        versions = policies.versions(session, scope, PageRequest(VERSIONS_SHOWN + 1, None))
        default = policies.policy(session, DEFAULT_SCOPE)
    assert default is not None
    now = found.json_dict() if found else None
    listed = versions.items if versions else []
    return page(
        "policy.html",
        scope=scope,
        policy=now,
        fields=_NAMES,
        types=TYPES,
        default=default.json_dict(),
        versions=[(after, list(_differences(before, after))) for after, before in _with_earlier(listed)],
        levers=[] if now is None else [RESUME if now["paused"] else PAUSE],
    )


def _with_earlier(newest_first: list[Any]) -> list[tuple[Any, Any]]:
    """Return each version with the version before it, which is None for the first version."""
    pairs = list(pairwise(newest_first))
    if newest_first and newest_first[-1]["version"] == 1:
        pairs.append((newest_first[-1], None))
    return pairs[:VERSIONS_SHOWN]


def _differences(before: dict[str, Any] | None, after: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, the old and the new value of everything that this version has changed.

    A value that is not set is None.
    """
    earlier = before or {"area": None, "vehicleTypes": None, "settings": {}}
    for name in ("area", "vehicleTypes"):
        if earlier[name] != after[name]:
            yield name, earlier[name], after[name]
    for name in _NAMES:
        was, now = earlier["settings"].get(name), after["settings"].get(name)
        if was != now:
            yield name, was, now


@api.post("/policies/<scope>")
def change_policy(scope: str) -> Response | str:
    """Send the command that stores a new version, or show what the version would change."""
    _scope(scope)
    if "preview" in request.form:
        return _preview(scope)

    def make() -> Command:
        return put_command(scope, NewPolicyVersion.model_validate_json(json.dumps(_body())))

    return send("New version", "put", scope, make, f"/console/policies/{scope}", admission)


def _preview(scope: str) -> str:
    try:
        draft = PreviewedPolicy.model_validate_json(json.dumps({**_body(), "reason": None}))
        with primary_session() as session:
            shown = policies.preview(session, scope, draft)
    except ValidationError as error:
        return page("policy_preview.html", refused=validation_error(error), preview=None)
    except Rejected as refused:
        return page("policy_preview.html", refused=refused, preview=None)
    return page("policy_preview.html", refused=None, preview=shown.json_dict())


@api.post("/policies/<scope>/levers/<name>")
def pause_policy(scope: str, name: str) -> Response | str:
    """Send the command that pauses a scope, or ends its pause."""
    _scope(scope)
    lever = next((each for each in (PAUSE, RESUME) if each.name == name), None)
    if lever is None:
        raise Rejected(Code.NOT_FOUND)

    def make() -> Command:
        given = PolicyPause(paused=lever is PAUSE, reason=request.form.get("reason", "").strip())
        return PausePolicy(scope=scope, paused=given.paused, reason=given.reason)

    return send(lever.label, name, scope, make, f"/console/policies/{scope}")


def _scope(text: str) -> str:
    """Return the text as the name of a scope. Raises Rejected(NOT_FOUND) if no scope can have this name."""
    try:
        return _SCOPE.validate_python(text)
    except ValidationError:
        raise Rejected(Code.NOT_FOUND) from None


def _body() -> dict[str, Any]:
    """Return the form as a body of the API's route. Empty fields are left out, so the new version does not set them."""
    given = {name: text.strip() for name, text in request.form.items() if text.strip()}
    body: dict[str, Any] = {
        "settings": {name: _value(name, given[name]) for name in _NAMES if name in given},
        "reason": given.get("reason", ""),
    }
    if {"latitude", "longitude", "radiusKm"} & given.keys():
        center = {name: _number(given.get(name, "")) for name in ("latitude", "longitude")}
        body["area"] = {"center": center, "radiusKm": _number(given.get("radiusKm", ""))}
    if types := request.form.getlist("vehicleTypes"):
        body["vehicleTypes"] = types
    return body


def _value(name: str, text: str) -> Any:
    return [_number(each) for each in text.split(",")] if name == "radiusStepsKm" else _number(text)


def _number(text: str) -> Any:
    """Return the number in the text. Any other text is returned as it is, and then refused by the API's validation."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text
