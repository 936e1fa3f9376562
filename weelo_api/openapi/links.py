"""Links of the OpenAPI document: a value of a response is named as a parameter of a later request."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from weelo_api.http.declared import Answer
from weelo_api.views.common import Accepted
from weelo_workers.contracts.broadcasts import BroadcastView, CancelTruckResult
from weelo_workers.contracts.offers import AcceptResult, HoldView
from weelo_workers.contracts.trips import AssignmentView

LINKS: dict[str, tuple[type[BaseModel], str, str, str]] = {
    "outcome": (Accepted, "notificationsCommand", "id", "/commandId"),
    "broadcast": (BroadcastView, "broadcastsBroadcast", "id", "/id"),
    "timeline": (BroadcastView, "broadcastsTimeline", "id", "/id"),
    "accept": (BroadcastView, "offersAccept", "id", "/id"),
    "hold": (BroadcastView, "offersHold", "id", "/id"),
    "confirmHold": (HoldView, "offersConfirmHold", "id", "/holdId"),
    "releaseHold": (HoldView, "offersReleaseHold", "id", "/holdId"),
    "driverAccepts": (AcceptResult, "tripsAccept", "id", "/assignments/0/id"),
    "driverDeclines": (AcceptResult, "tripsDecline", "id", "/assignments/0/id"),
    "advance": (AssignmentView, "tripsAdvance", "tripId", "/tripId"),
    "giveBack": (AssignmentView, "tripsGiveBack", "id", "/id"),
    "remainingBroadcast": (CancelTruckResult, "broadcastsBroadcast", "id", "/broadcast/id"),
}
"""The links by name. Each has the model of a response, the operation to call next, its parameter, and a pointer to the
value in the response."""


def components() -> dict[str, Any]:
    """Return the link objects by name."""
    return {
        name: {"operationId": operation, "parameters": {parameter: f"$response.body#{place}"}}
        for name, (_, operation, parameter, place) in LINKS.items()
    }


def of(answer: Answer) -> dict[str, Any]:
    """Return references to the links of this response."""
    return {
        name: {"$ref": f"#/components/links/{name}"}
        for name, (model, *_) in LINKS.items()
        if answer.model is model
    }
