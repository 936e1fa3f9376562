"""Extends schemathesis: signs requests with a token of a role that may send them, and uses ids that exist.

schemathesis loads this module in its own process. Random ids would be answered with 404 almost always, so half of the valid
requests get an id from an earlier answer.
"""

from __future__ import annotations

import atexit
import json
import os
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import schemathesis

SCENE = json.loads(os.environ["FUZZ_SCENE"])
"""`tokens`: by role. `ids`: existing ids by the part of a path that precedes them. `truck`: a vehicle and its driver."""
COUNT = Path(os.environ["FUZZ_COUNT"])
"""The file for the numbers of requests, by operation and status."""
KEPT = 50

_ids: dict[str, list[str]] = defaultdict(list, SCENE["ids"])
_requests: dict[str, Counter[int]] = defaultdict(Counter)
_random = random.Random(os.environ["FUZZ_SEED"])
"""A generator of our own, because hypothesis controls that of the module `random`."""

# Keys: names of fields in responses that contain an id. Values: the part of a path that precedes such an id.
_PLACES = {
    "commandId": "commands",
    "holdId": "holds",
    "tripId": "trips",
    "broadcastId": "broadcasts",
    "truckRequestId": "truck-requests",
}


# Without an interval schemathesis would keep one token for all requests.
@schemathesis.auth(refresh_interval=None)
class ByRole:
    """Chooses a role that may send the request; for every fifth request on average, any role."""

    def get(self, case: Any, _: Any) -> str:
        roles = case.operation.definition.raw.get("x-roles") or list(SCENE["tokens"])
        allowed = roles if _random.random() < 0.8 else list(SCENE["tokens"])
        return str(SCENE["tokens"][_random.choice(allowed)])

    def set(self, case: Any, token: str, _: Any) -> None:
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(_: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Use existing ids, and wait for the outcome, in most requests that are meant to be valid."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if _random.random() < 0.7 and "x-roles" in case.operation.definition.raw:
        case.headers["Prefer"] = "wait=5"
    if "Idempotency-Key" in case.headers and _random.random() < 0.8:
        # Each request needs its own key, but all examples have the same one.
        case.headers["Idempotency-Key"] = f"{_random.getrandbits(64):016x}"
    if _random.random() < 0.5:
        return
    parts = case.path.split("/")
    for name in case.path_parameters or {}:
        place = parts[parts.index(f"{{{name}}}") - 1]
        known = _ids[{"bookings": "broadcasts", "orders": "broadcasts"}.get(place, place)]
        if known:
            case.path_parameters[name] = _random.choice(known)
    if isinstance(case.body, dict):
        for name in ("vehicleId", "driverId"):
            if isinstance(case.body.get(name), str):
                case.body[name] = SCENE["truck"][name]


@schemathesis.hook
def after_call(_: Any, case: Any, response: Any) -> None:
    """Count the request, and remember the ids of its response."""
    _requests[case.operation.label][response.status_code] += 1
    # Only responses below /api/v1 contain ids. The documents openapi.json and asyncapi.json have fields of these names, but
    # the values are descriptions.
    is_api = case.operation.path.startswith("/api/v1/")
    if is_api and response.status_code < 300 and "json" in response.headers.get("content-type", [""])[0]:
        _remember(response.json())


def _remember(tree: Any) -> None:
    if isinstance(tree, list):
        for branch in tree[:20]:
            _remember(branch)
    if not isinstance(tree, dict):
        return
    for name, value in tree.items():
        if name in _PLACES and isinstance(value, str):
            _keep(_PLACES[name], value)
        elif isinstance(value, dict | list):
            _remember(value)
    if "id" in tree and "truckRequests" in tree:
        _keep("broadcasts", tree["id"])
        for slot in tree["truckRequests"]:
            _keep("truck-requests", slot["id"])
    if "id" in tree and "tripId" in tree:
        _keep("assignments", tree["id"])


def _keep(place: str, value: str) -> None:
    known = _ids[place]
    if value not in known:
        known.append(value)
        del known[:-KEPT]


atexit.register(lambda: COUNT.write_text(json.dumps(_requests)))
