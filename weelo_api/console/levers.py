"""The levers: each sends the command of its route below /api/v1/admin, with the operator's reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, redirect, request
from pydantic import ValidationError

from weelo_api.commands import gateway
from weelo_api.console import sessions, wording
from weelo_api.console.routes import api, page, session as console_session
from weelo_api.http.errors import validation_error
from weelo_api.views.admin import availability_command, widen_command
from weelo_workers.contracts.admin import Intervention
from weelo_workers.contracts.broadcasts import CancelByOperator, ExpireByOperator
from weelo_workers.contracts.command import Command
from weelo_workers.contracts.outcomes import CommandOutcome
from weelo_workers.contracts.reasons import LABELS, ProviderReason
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import EndOutcome
from weelo_workers.contracts.trips import Ending, EndTrip
from weelo_workers.lifecycles import broadcast as lifecycle

# A form waits for the outcome for this long. While the outcome is pending, the page requests it again.
WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Lever:
    """A lever. `make`: returns the command for the id of a subject and a reason, and may raise Rejected."""

    name: str
    label: str
    effect: str
    """The effect in a few words, which the operator reads before confirming."""
    make: Callable[[UUID, str], Command]
    is_of: Callable[[Any], bool]
    """Whether the lever can have an effect, by the status of a broadcast or the availability of a fleet."""
    is_final: bool = False


LEVERS_OF_BROADCASTS = (
    Lever(
        "widen",
        "Widen",
        "Asks the fleets of the next ring now. If its timer comes first, no further ring is asked.",
        widen_command,
        lambda status: status in lifecycle.OPEN,
    ),
    Lever(
        "expire",
        "Expire",
        "Ends the search now, as the deadline would. Trucks that were found go on.",
        lambda broadcast_id, reason: ExpireByOperator(broadcast_id=broadcast_id, reason=reason),
        lambda status: status in lifecycle.EXPIRE.when,
        is_final=True,
    ),
    Lever(
        "cancel",
        "Cancel",
        "Cancels it for the customer, and frees its trucks. Refused once a truck has set out: then end the trips.",
        lambda broadcast_id, reason: CancelByOperator(broadcast_id=broadcast_id, reason=reason),
        lambda status: status in lifecycle.CANCEL.when,
        is_final=True,
    ),
)
LEVERS_OF_FLEETS = (
    Lever(
        "online",
        "Put online",
        "The fleet gets offers again. Refused if its app is not connected and has sent no heartbeat lately.",
        partial(availability_command, is_available=True),
        lambda is_available: not is_available,
    ),
    Lever(
        "offline",
        "Put offline",
        "The fleet gets no offers until it goes online again. Offers that it has stay open.",
        partial(availability_command, is_available=False),
        bool,
        is_final=True,
    ),
)


def levers_of_broadcast(status: str) -> list[Lever]:
    """Return the levers that can have an effect on a broadcast of this status."""
    return [each for each in LEVERS_OF_BROADCASTS if each.is_of(status)]


@dataclass(frozen=True, slots=True)
class EndTripForm:
    """The choices of the form that ends a truck's trip: the outcomes, and the reason codes with their meanings."""

    outcomes: tuple[EndOutcome, ...] = tuple(EndOutcome)
    # `other` comes first, because a person who telephones rarely gives a reason that has a code of its own.
    codes: tuple[tuple[str, str], ...] = (
        (ProviderReason.OTHER.value, "Another reason, such as a call: see the note"),
        *((code.value, label) for code, label in LABELS.items() if code.value != ProviderReason.OTHER.value),
    )


END_TRIP = EndTripForm()


@api.post("/broadcasts/<uuid:subject_id>/levers/<name>")
def use_on_broadcast(subject_id: UUID, name: str) -> Response | str:
    """Send the command of a lever of a broadcast."""
    return _use(LEVERS_OF_BROADCASTS, name, subject_id, f"/console/broadcasts/{subject_id}")


@api.post("/fleets/<uuid:subject_id>/levers/<name>")
def use_on_fleet(subject_id: UUID, name: str) -> Response | str:
    """Send the command of a lever of a fleet."""
    return _use(LEVERS_OF_FLEETS, name, subject_id, f"/console/fleets/{subject_id}")


@api.post("/broadcasts/<uuid:broadcast_id>/trucks/<uuid:assignment_id>/end")
def end_trip(broadcast_id: UUID, assignment_id: UUID) -> Response | str:
    """Send the command that ends the trip of a truck, as `POST /assignments/{id}/end` does."""

    def make() -> Command:
        fields = {name: request.form.get(name, "").strip() for name in ("outcome", "reasonCode", "note")}
        # The form is parsed as the route parses its body.
        given = Ending.model_validate_json(json.dumps(fields))
        return EndTrip(
            assignment_id=assignment_id,
            outcome=given.outcome,
            reason_code=given.reason_code,
            note=given.note,
        )

    return send("End trip", "end", str(assignment_id), make, f"/console/broadcasts/{broadcast_id}")


def _use(levers: tuple[Lever, ...], name: str, subject_id: UUID, back: str) -> Response | str:
    lever = next((each for each in levers if each.name == name), None)
    if lever is None:
        raise Rejected(Code.NOT_FOUND)

    def make() -> Command:
        return lever.make(subject_id, Intervention(reason=request.form.get("reason", "").strip()).reason)

    return send(lever.label, name, str(subject_id), make, back)


def send(
    label: str,
    name: str,
    subject: str,
    make: Callable[[], Command],
    back: str,
    admission_of: Callable[[Any], gateway.Admission] | None = None,
) -> Response | str:
    """Send the command that `make` returns, and return its outcome as a row of the page.

    `make` may raise Rejected, and ValidationError for a form that breaks the rules of the API. `admission_of`: a
    function that returns the check by which the command's route may refuse it.
    """
    command_id = sessions.command_id_of(console_session(), request.form.get("key", ""))
    given = "\n".join(
        f"{field}={text.strip()}"
        for field, text in sorted(request.form.items())
        if field not in ("key", "form_token")
    )
    sent = hashlib.sha256(f"{name}\n{subject}\n{given}".encode()).hexdigest()
    try:
        command = _valid(make)
        admission = admission_of(command) if admission_of else None
        outcome = gateway.record(
            command, console_session().user, command_id, sent, wait=WAIT_SECONDS, admission=admission
        )
    except Rejected as refused:
        if not request.headers.get("HX-Request"):
            raise
        return page("outcome.html", lever=label, refused=refused, outcome=None, back=back)
    if not request.headers.get("HX-Request"):
        return redirect(f"/console/commands/{outcome.command_id}?back={back}", 303)  # type: ignore[return-value]
    return _outcome_row(label, outcome, back)


def _valid(make: Callable[[], Command]) -> Command:
    """Return the command that `make` reads from the form. Raises Rejected(VALIDATION_ERROR)."""
    try:
        return make()
    except ValidationError as error:
        raise validation_error(error) from None


def _outcome_row(lever: str, outcome: CommandOutcome, back: str) -> Response:
    row = Response(page("outcome.html", lever=lever, refused=None, outcome=outcome, back=back))
    if outcome.status != "pending":
        # This header makes the page reload everything that the command may have changed.
        row.headers["HX-Trigger"] = "weelo-settled"
    return row


@api.get("/commands/<uuid:command_id>")
def outcome(command_id: UUID) -> Response | str:
    """Return the outcome of a command that this operator has sent, as a page or as a row to be inserted into a page."""
    found = gateway.find(command_id, console_session().user)
    if found is None:
        raise Rejected(Code.NOT_FOUND)
    back = request.args.get("back", "")
    back = back if back.startswith("/console/") else "/console"
    lever = request.args.get("lever", wording.action(found.command))[:100]
    if request.headers.get("HX-Request"):
        return _outcome_row(lever, found, back)
    return page("command.html", lever=lever, refused=None, outcome=found, back=back)
