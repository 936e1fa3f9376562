"""The sandbox: move the clock, start robot fleets, get tokens, delete everything. Only with `WEELO_ENV=sandbox`.

The routes need no token, because one of them issues tokens of every role to every caller.
"""

from __future__ import annotations

import time
from typing import cast
from uuid import UUID, uuid4

from flask import Response, jsonify, request
from pydantic import ValidationError
from sqlalchemy import select

from weelo_api.commands.idempotency import command_id_of_request
from weelo_api.http.access import without_token
from weelo_api.http.declared import rejects
from weelo_api.http.errors import validation_error
from weelo_api.http.json_body import JsonBody
from weelo_api.sandbox import advances, fleets, resetting, tokens
from weelo_api.sandbox.shapes import (
    Advance,
    AdvancedView,
    ClockView,
    FleetView,
    NewFleet,
    TokenRequest,
    TokenView,
)
from weelo_api.views.common import ById, blueprint
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.vehicle_kinds import known_kind
from weelo_workers.contracts.wire import Request
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.models.sandbox import FLEETS

READY_WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.03
# Callers of these routes are anonymous, so all of them share the Idempotency-Keys of one caller.
_ANY_CALLER = UUID(int=0)

# The codes that `_expect_nothing` raises beside VALIDATION_ERROR. Routes with a described body need not declare them.
_WITHOUT_FIELDS = (Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)

api = blueprint("sandbox", "/sandbox")


@api.get("/clock", responses={200: ClockView})
@without_token
@rejects(Code.SERVICE_UNAVAILABLE)
def clock() -> Response:
    """Return the time of the sandbox."""
    return jsonify(_clock_view().json_dict())


@api.post("/clock/advance", responses={200: AdvancedView, 202: AdvancedView})
@without_token
@rejects(Code.IDEMPOTENCY_CONFLICT, Code.SERVICE_UNAVAILABLE)
def advance(body: Advance) -> tuple[Response, int]:
    """Move the clock. Every timer that becomes due is executed before the response, in the order of real time.

    202 if that takes more than a minute: the clock is moved further, and a repetition with the same Idempotency-Key
    waits again.
    """
    executed = advances.advance(command_id_of_request(_ANY_CALLER), body.seconds)
    view = AdvancedView(**dict(_clock_view()), timers_executed=executed)
    return jsonify(view.json_dict()), 200 if executed is not None else 202


@api.post("/fleets", responses={201: FleetView})
@without_token
@rejects(Code.IDEMPOTENCY_CONFLICT, Code.SERVICE_UNAVAILABLE)
def create_fleet(body: NewFleet) -> tuple[Response, int]:
    """Start a robot fleet. It is online when the response is sent."""
    fleet_id = command_id_of_request(_ANY_CALLER)
    kind = known_kind(body.vehicle_type, body.vehicle_subtype)
    names = {"vehicle_type": kind.vehicle_type, "vehicle_subtype": kind.vehicle_subtype}
    view = FleetView(
        transporter_id=fleet_id,
        **{**dict(body), **names},
        driver_ids=fleets.driver_ids(fleet_id, body.trucks),
    )
    if not fleets.store({"transporter_id": fleet_id, **dict(body)}) and _stored(fleet_id) != dict(body):
        raise Rejected(Code.IDEMPOTENCY_CONFLICT, "Use a new key for a new request.")
    until = time.monotonic() + READY_WITHIN_SECONDS
    while not _is_ready(fleet_id):
        if time.monotonic() > until:
            fleets.remove(fleet_id)
            raise Rejected(
                Code.SERVICE_UNAVAILABLE, "The fleet could not be set up in time.", {"retryAfter": 1}
            )
        time.sleep(POLL_SECONDS)
    return jsonify(view.json_dict()), 201


@api.delete("/fleets/<id>", responses={204: None})
@without_token
@rejects(*_WITHOUT_FIELDS, Code.SERVICE_UNAVAILABLE)
def delete_fleet(path: ById) -> tuple[str, int]:
    """Stop a robot fleet: it goes offline, and its robots do nothing more. Its trips stay as they are."""
    _expect_nothing()
    if not fleets.remove(path.id):
        raise Rejected(Code.NOT_FOUND, "No robot fleet has this id.")
    return "", 204


@api.post("/reset", responses={200: ClockView})
@without_token
@rejects(*_WITHOUT_FIELDS, Code.SERVICE_UNAVAILABLE)
def reset() -> Response:
    """Delete everything and set the clock back. Tokens stay valid, and the numbers (`seq`) of logs go on."""
    _expect_nothing()
    resetting.reset()
    return jsonify(_clock_view().json_dict())


@api.post("/tokens", responses={201: TokenView})
@without_token
@rejects(Code.SERVICE_UNAVAILABLE)
def create_token(body: TokenRequest) -> tuple[Response, int]:
    """Issue a token for a user of this role."""
    user_id = body.sub or uuid4()
    token, expires_at = tokens.issue(body.role, user_id)
    view = TokenView(token=token, user_id=user_id, role=body.role, expires_at=expires_at)
    return jsonify(view.json_dict()), 201


def _clock_view() -> ClockView:
    state = advances.clock()
    return ClockView(now=state.now, offset_seconds=state.offset_seconds, moving=state.moving)


def _stored(fleet_id: UUID) -> dict[str, object]:
    columns = [FLEETS.c[name] for name in NewFleet.model_fields]
    with autocommit_engine().connect() as connection:
        row = (
            connection.execute(select(*columns).where(FLEETS.c.transporter_id == fleet_id)).mappings().first()
        )
    return dict(row or {})


def _is_ready(fleet_id: UUID) -> bool:
    """Return whether the robots are online. Raises Rejected(SERVICE_UNAVAILABLE) if the fleet was deleted meanwhile."""
    with autocommit_engine().connect() as connection:
        query = select(FLEETS.c.ready_at).where(FLEETS.c.transporter_id == fleet_id)
        row = connection.execute(query).one_or_none()
    if row is None:
        raise Rejected(Code.SERVICE_UNAVAILABLE, "The fleet was deleted meanwhile.", {"retryAfter": 1})
    return row.ready_at is not None


def _expect_nothing() -> None:
    """Raise Rejected (VALIDATION_ERROR, or one of _WITHOUT_FIELDS) if the body has fields or is no JSON object."""
    try:
        Request.model_validate_json(cast(JsonBody, request).get_json_of_any_type())
    except ValidationError as error:
        raise validation_error(error) from None
