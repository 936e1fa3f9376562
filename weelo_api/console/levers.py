"""The levers: each sends the command of its route below /api/v1/admin, with the operator's reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from flask import Response, redirect, request
from pydantic import ValidationError

from weelo_api.commands import gateway
from weelo_api.console import sessions
from weelo_api.console.routes import api, page, session as console_session
from weelo_api.http.errors import validation_error
from weelo_api.views.admin import availability_command, widen_command
from weelo_workers.contracts.admin import Intervention
from weelo_workers.contracts.broadcasts import CancelByOperator, ExpireByOperator
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.rejections import Code, Rejected

# How long a form waits for the outcome. While it is pending, the page requests it again.
WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Lever:
    """A lever. `make`: the command, from the id of its subject and the reason. It may raise Rejected."""

    name: str
    label: str
    effect: str
    """What happens, in a few words, for the operator who has to confirm it."""
    make: Callable[[UUID, str], Command]
    is_final: bool = False


LEVERS_OF_BROADCASTS = (
    Lever(
        "widen",
        "Widen",
        "Asks the fleets of the next ring now. If its timer comes first, no further ring is asked.",
        widen_command,
    ),
    Lever(
        "expire",
        "Expire",
        "Ends the search now, as the deadline would. Trucks that were found go on.",
        lambda broadcast_id, reason: ExpireByOperator(broadcast_id=broadcast_id, reason=reason),
        is_final=True,
    ),
    Lever(
        "cancel",
        "Cancel",
        "Cancels it for the customer, and frees its trucks. Refused once a truck is under way.",
        lambda broadcast_id, reason: CancelByOperator(broadcast_id=broadcast_id, reason=reason),
        is_final=True,
    ),
)
LEVERS_OF_FLEETS = (
    Lever(
        "online",
        "Put online",
        "The fleet gets offers again. Refused if its app is not connected and has sent no heartbeat lately.",
        partial(availability_command, is_available=True),
    ),
    Lever(
        "offline",
        "Put offline",
        "The fleet gets no offers until it goes online again. Offers that it has stay open.",
        partial(availability_command, is_available=False),
        is_final=True,
    ),
)


@api.post("/broadcasts/<uuid:subject_id>/levers/<name>")
def use_on_broadcast(subject_id: UUID, name: str) -> Response | str:
    """Send the command of a lever of a broadcast."""
    return _use(LEVERS_OF_BROADCASTS, name, subject_id, f"/console/broadcasts/{subject_id}")


@api.post("/fleets/<uuid:subject_id>/levers/<name>")
def use_on_fleet(subject_id: UUID, name: str) -> Response | str:
    """Send the command of a lever of a fleet."""
    return _use(LEVERS_OF_FLEETS, name, subject_id, f"/console/fleets/{subject_id}")


def _use(levers: tuple[Lever, ...], name: str, subject_id: UUID, back: str) -> Response | str:
    lever = next((each for each in levers if each.name == name), None)
    if lever is None:
        raise Rejected(Code.NOT_FOUND)
    command_id = sessions.command_id_of(console_session(), request.form.get("key", ""))
    try:
        reason = _reason()
        sent = hashlib.sha256(f"{name}\n{subject_id}\n{reason}".encode()).hexdigest()
        command = lever.make(subject_id, reason)
        outcome = gateway.record(command, console_session().user, command_id, sent, wait=WAIT_SECONDS)
    except Rejected as refused:
        if not request.headers.get("HX-Request"):
            raise
        return page("outcome.html", lever=lever.label, refused=refused, outcome=None, back=back)
    if not request.headers.get("HX-Request"):
        return redirect(f"/console/commands/{outcome.command_id}?back={back}", 303)  # type: ignore[return-value]
    return page("outcome.html", lever=lever.label, refused=None, outcome=outcome, back=back)


def _reason() -> str:
    """Return the reason in the form, under the rules of the API. Raises Rejected(VALIDATION_ERROR)."""
    try:
        return Intervention(reason=request.form.get("reason", "").strip()).reason
    except ValidationError as error:
        raise validation_error(error) from None


@api.get("/commands/<uuid:command_id>")
def outcome(command_id: UUID) -> str:
    """The outcome of a command that this operator has sent."""
    found = gateway.find(command_id, console_session().user)
    if found is None:
        raise Rejected(Code.NOT_FOUND)
    back = request.args.get("back", "")
    template = "outcome.html" if request.headers.get("HX-Request") else "command.html"
    return page(
        template,
        lever=request.args.get("lever", found.command)[:100],
        refused=None,
        outcome=found,
        back=back if back.startswith("/console/") else "/console",
    )
