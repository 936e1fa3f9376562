"""The statuses and codes with which a route can answer."""

from __future__ import annotations

from weelo_api.http.declared import JSON, Answer
from weelo_api.openapi.routes import Route
from weelo_api.views.common import Accepted
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import Role

DIRECT = "The outcome, with `Prefer: wait=N`, if the command was executed in time."
ACCEPTED = (
    "The command is stored and will be executed. Without `Prefer: wait=N` this is the only answer to a valid request. "
    "The outcome is at `Location`, and comes over the socket. For a repeated request the answer includes the "
    "outcome, if it is known."
)


def rejections(route: Route) -> dict[int, list[Code]]:
    """Return the codes with which this route can answer, by HTTP status. Each list has the order of `Code`."""
    codes = set(route.declared.rejects) | {Code.INTERNAL_ERROR}
    if route.is_command:
        codes |= outcome_codes(route) | {Code.IDEMPOTENCY_CONFLICT, Code.RATE_LIMITED}
    if route.is_command or route.body is not None:
        codes |= {Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE}
    if route.is_api:
        codes.add(Code.VALIDATION_ERROR)
    if route.has_parameters:
        # A parameter with a slash, or another spelling of the address, leads to no route (see `http/addresses.py`).
        codes.add(Code.NOT_FOUND)
    if route.roles:
        codes |= {Code.UNAUTHORIZED, Code.TOKEN_EXPIRED, Code.SERVICE_UNAVAILABLE}
    if route.roles and route.roles != frozenset(Role):
        codes.add(Code.FORBIDDEN)
    by_status: dict[int, list[Code]] = {}
    for code in Code:
        if code in codes:
            by_status.setdefault(code.http_status, []).append(code)
    return by_status


def outcome_codes(route: Route) -> frozenset[Code]:
    """Return the codes that the command of this route can be rejected with, after it was stored."""
    command = route.declared.command
    return command.rejects - route.declared.cannot_reject if command else frozenset()


def outcomes(route: Route) -> list[Answer]:
    """Return the responses without an error code, by status. Routes of commands can answer 202."""
    found = {answer.status: answer for answer in route.answers}
    if route.is_command:
        for status, answer in found.items():
            found[status] = Answer(status, answer.model, JSON, DIRECT)
        found[202] = Answer(202, Accepted, JSON, ACCEPTED)
    return [found[status] for status in sorted(found)]
