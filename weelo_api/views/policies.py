"""Policies, for operators: how broadcasts are offered, by scope, and where new requests are refused."""

from __future__ import annotations

from functools import partial

from flask import Response, jsonify
from sqlalchemy import ColumnElement, Connection, true
from sqlalchemy.orm import Session

from weelo_api.commands.gateway import Admission, submit
from weelo_api.http.access import allow
from weelo_api.http.declared import rejects, submits
from weelo_api.views.common import (
    Accepted,
    PageOf,
    Paging,
    Parameters,
    blueprint,
    page,
    primary_session,
    replica_session,
)
from weelo_workers.contracts.policies import (
    NewPolicyVersion,
    PausePolicy,
    PolicyPause,
    PolicyPreview,
    PolicyVersionView,
    PolicyView,
    PreviewedPolicy,
    PutPolicy,
    ScopeName,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import Role
from weelo_workers.queries import policies

api = blueprint("policies", "/admin/policies")


class ByScope(Parameters):
    """A path with the scope of a policy."""

    scope: ScopeName


_ALWAYS: ColumnElement[bool] = true()


def put_command(scope: str, version: NewPolicyVersion) -> PutPolicy:
    """Return the command that stores this version."""
    return PutPolicy(
        scope=scope,
        area=version.area,
        vehicle_types=version.vehicle_types,
        settings=version.settings.chosen(),
        reason=version.reason,
    )


def admission(command: PutPolicy) -> Admission:
    """Return the check that refuses impossible values at once. The handler checks them again, under a lock."""
    return Admission(_ALWAYS, partial(_refusal, command))


def _refusal(command: PutPolicy, connection: Connection) -> Rejected | None:
    with Session(connection) as session:
        try:
            policies.check(
                policies.stored(session),
                command.scope,
                command.area,
                command.vehicle_types,
                command.settings,
            )
        except Rejected as refused:
            return refused
    return None


@api.get("", responses={200: PageOf[PolicyView]})
@allow(Role.ADMIN)
def all_policies() -> Response:
    """The policy of each scope with its current version, `default` first, on one page."""
    with replica_session() as session:
        return page(policies.policies(session))


@api.put("/<scope>", responses={200: PolicyView, 202: Accepted})
@allow(Role.ADMIN)
@submits(PutPolicy)
def put(path: ByScope, body: NewPolicyVersion) -> Response:
    """Store the next version of a policy. New broadcasts begin with it; those that are open keep theirs."""
    command = put_command(path.scope, body)
    return submit(command, body, admission(command))


@api.get("/<scope>/versions", responses={200: PageOf[PolicyVersionView]})
@allow(Role.ADMIN)
@rejects(Code.POLICY_NOT_FOUND)
def versions(path: ByScope, query: Paging) -> Response:
    """The versions of a policy, newest first."""
    with replica_session() as session:
        found = policies.versions(session, path.scope, query.page_request())
    if found is None:
        raise Rejected(Code.POLICY_NOT_FOUND)
    return page(found)


@api.post("/<scope>/preview", responses={200: PolicyPreview})
@allow(Role.ADMIN)
def preview(path: ByScope, body: PreviewedPolicy) -> Response:
    """What a new version would change. Nothing is stored."""
    with primary_session() as session:
        return jsonify(policies.preview(session, path.scope, body).json_dict())


@api.put("/<scope>/paused", responses={200: PolicyView, 202: Accepted})
@allow(Role.ADMIN)
@submits(PausePolicy)
def pause(path: ByScope, body: PolicyPause) -> Response:
    """Refuse new requests in a scope, or accept them again. Open broadcasts, and requests that are recorded, go on."""
    return submit(PausePolicy(scope=path.scope, paused=body.paused, reason=body.reason), body)
