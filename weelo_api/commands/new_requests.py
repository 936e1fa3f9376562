"""Refuses bookings and orders whose pickup is in a paused scope or is not served, before they are recorded."""

from __future__ import annotations

from functools import partial

from sqlalchemy import ColumnElement, Connection, true

from weelo_api.commands.gateway import Admission
from weelo_api.http import request_metrics
from weelo_workers.contracts.broadcasts import CreateBooking, CreateOrder
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.queries import policies
from weelo_workers.queries.broadcasts import has_open_broadcast
from weelo_workers.settings import settings

PAUSED_RETRY_SECONDS = 60
"""For how long an app should wait before it repeats a request in a paused area. Pauses last for minutes to hours."""


_ALWAYS: ColumnElement[bool] = true()
_ANY_PAUSED = policies.any_paused()


def admission(command: CreateBooking | CreateOrder) -> Admission:
    """Return the check of this new request.

    The check is made when the request is recorded, and not again when it is executed: a request that was accepted before a
    pause is carried out, and its repetition gets the same outcome.
    """
    may_refuse = _ALWAYS if settings().served_areas_only else _ANY_PAUSED
    return Admission(may_refuse, partial(_refusal, command))


def _refusal(command: CreateBooking | CreateOrder, connection: Connection) -> Rejected | None:
    """Return Rejected(NOT_SERVED) or Rejected(AREA_PAUSED); None if the request is accepted.

    A customer with an open broadcast is not refused here, because the handler answers this customer: with the open
    broadcast if the request is the same, else with a rejection.
    """
    found = policies.in_force(connection, command.request)
    is_outside = settings().served_areas_only and not found.is_served
    if not (is_outside or found.paused) or has_open_broadcast(connection, command.customer_id):
        return None
    if is_outside:
        return Rejected(Code.NOT_SERVED, "The pickup is outside every area that is served.")
    request_metrics.set_unavailable_cause(request_metrics.PAUSED)
    return Rejected(
        Code.AREA_PAUSED,
        "New requests are paused there. Nothing was recorded; try again later with the same key.",
        {"retryAfter": PAUSED_RETRY_SECONDS},
    )
