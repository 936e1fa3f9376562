"""Queries of policies: which one is in force for a request, and what operators see of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from pydantic.alias_generators import to_camel
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Double,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Session

from weelo_workers import policy_limits
from weelo_workers.contracts.broadcasts import NewBooking, NewOrder
from weelo_workers.contracts.policies import (
    Area,
    ChangedValue,
    OverlappingPolicy,
    PolicyDraft,
    PolicyPreview,
    PolicyVersionView,
    PolicyView,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.vehicle_kinds import vehicle_key
from weelo_workers.lifecycles import distance
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE, Policy
from weelo_workers.models import Broadcast, PolicyScope, PolicyVersion
from weelo_workers.models.base import is_in
from weelo_workers.models.environment_policy import resolved_policy
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.sphere import half_chord_squared, half_chord_squared_of

_CURRENT = and_(PolicyVersion.scope == PolicyScope.scope, PolicyVersion.version == PolicyScope.version)
_RADIUS_KM = PolicyVersion.area["radiusKm"].as_float()


# --- which policy is in force ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy for a request. `is_served`: whether the pickup is in the area of any policy."""

    scope: str
    version: int
    policy: Policy
    paused: bool
    is_served: bool


_IN_FORCE = (
    select(
        PolicyScope.scope,
        PolicyScope.version,
        PolicyScope.paused,
        PolicyVersion.settings,
        PolicyVersion.area.is_not(None).label("has_area"),
        or_(
            PolicyVersion.vehicle_types.is_(None),
            PolicyVersion.vehicle_types.contains(bindparam("types", type_=ARRAY(Text()))),
        ).label("is_for_types"),
    )
    .outerjoin(PolicyVersion, _CURRENT)
    .where(
        or_(
            PolicyVersion.area.is_(None),
            half_chord_squared(
                bindparam("latitude", type_=Double()),
                bindparam("longitude", type_=Double()),
                PolicyVersion.area["center"],
            )
            <= half_chord_squared_of(_RADIUS_KM),
        )
    )
    .order_by(
        PolicyScope.scope == DEFAULT_SCOPE,
        PolicyVersion.vehicle_types.is_(None),
        _RADIUS_KM.asc().nulls_last(),
        PolicyScope.scope.collate("C"),
    )
    .execution_options(**prepared("policy_in_force"))
)
"""The policies whose area has the pickup, the most specific first, `default` last: a policy of vehicle types before one of all
types, then the smaller radius before the larger one, then the name."""


def any_paused() -> ColumnElement[bool]:
    """Return the condition that new requests are paused in any scope."""
    return exists().where(PolicyScope.paused)


def in_force(session: Session | Connection, request: NewBooking | NewOrder) -> InForce:
    """Return the policy with which a broadcast of this request begins now."""
    types = {
        vehicle_key(each.vehicle_type, each.vehicle_subtype).partition(":")[0] for each in request.wanted()
    }
    rows = session.execute(
        _IN_FORCE,
        {
            "types": sorted(types),
            "latitude": request.pickup.latitude,
            "longitude": request.pickup.longitude,
        },
    ).all()
    by_scope = {row.scope: row for row in rows}
    default = by_scope.get(DEFAULT_SCOPE)
    of_default = (default.settings if default else None) or {}
    is_served = any(row.has_area for row in rows)
    chosen = next((row for row in rows if row.is_for_types), None)
    if chosen is None:
        return InForce(DEFAULT_SCOPE, 0, resolved_policy(), paused=False, is_served=is_served)
    policy = resolved_policy(chosen.settings or {}, of_default)
    return InForce(chosen.scope, chosen.version, policy, chosen.paused, is_served)


# --- the policies that are stored -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A scope with its current version. `default` has none until its first version is stored."""

    scope: str
    number: int
    paused: bool
    version: PolicyVersion | None

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.version.settings if self.version else {}

    @property
    def area(self) -> Area | None:
        return area_of(self.version)

    @property
    def vehicle_types(self) -> list[str] | None:
        return self.version.vehicle_types if self.version else None


def stored(session: Session) -> dict[str, Stored]:
    """Return all scopes by name, in the order of names. `default` is always among them."""
    rows = session.execute(
        select(PolicyScope.scope, PolicyScope.version, PolicyScope.paused, PolicyVersion)
        .outerjoin(PolicyVersion, _CURRENT)
        .order_by(PolicyScope.scope.collate("C"))
    )
    found = {row.scope: Stored(row.scope, row.version, row.paused, row.PolicyVersion) for row in rows}
    default = found.pop(DEFAULT_SCOPE, Stored(DEFAULT_SCOPE, 0, False, None))
    return {DEFAULT_SCOPE: default, **found}


def scopes(session: Session) -> list[str]:
    """Return the names of all scopes, `default` first. The market figures use them as the names of areas."""
    return list(stored(session))


def policies(session: Session) -> Page:
    """Return all policies, on one page."""
    found = stored(session)
    return Page([_view(each, found) for each in found.values()], None)


def policy(session: Session, scope: str) -> PolicyView | None:
    """Return the policy of this scope; None if there is none."""
    found = stored(session)
    return _view(found[scope], found) if scope in found else None


def versions(session: Session, scope: str, page_request: PageRequest) -> Page | None:
    """Return a page of the versions of this scope, newest first; None if there is no such scope."""
    if scope != DEFAULT_SCOPE and session.get(PolicyScope, scope) is None:
        return None
    query = select(PolicyVersion).where(PolicyVersion.scope == scope)
    rows, next_cursor = page_request.apply(session, query, PolicyVersion.created_at, PolicyVersion.id)
    return Page([PolicyVersionView(**_of_version(row)) for row in rows], next_cursor)


def area_of(version: PolicyVersion | None) -> Area | None:
    """Return where this version is in force; None: everywhere."""
    stored_area = version.area if version else None
    return None if stored_area is None else Area.model_validate(stored_area, strict=False)


def _view(one: Stored, all_of_them: Mapping[str, Stored]) -> PolicyView:
    described = (
        _of_version(one.version)
        if one.version
        else {
            "scope": one.scope,
            "version": one.number,
            "area": None,
            "vehicle_types": None,
            "settings": {},
            "reason": None,
            "actor_id": None,
            "created_at": None,
        }
    )
    effective = resolved_policy(one.settings, all_of_them[DEFAULT_SCOPE].settings)
    return PolicyView(**described, paused=one.paused, effective=effective.to_json())


def _of_version(version: PolicyVersion) -> dict[str, Any]:
    return {
        "scope": version.scope,
        "version": version.version,
        "area": area_of(version),
        "vehicle_types": version.vehicle_types,
        "settings": version.settings,
        "reason": version.reason,
        "actor_id": version.actor_id,
        "created_at": version.created_at,
    }


# --- a version that is not stored yet -------------------------------------------------------------------


def check(
    found: Mapping[str, Stored],
    scope: str,
    area: Area | None,
    vehicle_types: list[str] | None,
    settings: Mapping[str, Any],
) -> None:
    """Raise Rejected(VALIDATION_ERROR), with the field, if values of this version contradict each other or those of `default`.

    `found`: all scopes. A scope takes the values that it does not set from `default`. So a new version of `default` is
    checked together with each other scope as well.
    """
    if scope == DEFAULT_SCOPE and (area is not None or vehicle_types is not None):
        raise _not_valid(
            "area" if area is not None else "vehicleTypes", "must be left out: default is for everything"
        )
    if scope != DEFAULT_SCOPE and area is None and vehicle_types is None:
        raise _not_valid("area", "must be given, or vehicleTypes: only default is for everything")
    of_default = settings if scope == DEFAULT_SCOPE else found[DEFAULT_SCOPE].settings
    _check_values(scope, settings, resolved_policy(settings, of_default))
    if scope == DEFAULT_SCOPE:
        for each in found.values():
            _check_values(each.scope, settings, resolved_policy(each.settings, settings))


def _check_values(scope: str, settings: Mapping[str, Any], policy: Policy) -> None:
    """Raise Rejected if two values of this policy contradict each other, and at least one of them is in `settings`."""
    found = policy_limits.contradiction(
        radius_steps_km=policy.radius_steps_km,
        last_step_max_km=policy.last_step_max_km,
        radius_step_seconds=policy.radius_step_seconds,
        broadcast_timeout_seconds=policy.broadcast_timeout_seconds,
        contracted_first_seconds=policy.contracted_first_seconds,
        min_offers_per_step=policy.min_offers_per_step,
        max_offers_per_step=policy.max_offers_per_step,
    )
    if found is None:
        return
    names, why = found
    field = next((to_camel(name) for name in names if to_camel(name) in settings), None)
    if field is not None:
        raise _not_valid(f"settings.{field}", f"impossible in the scope {scope}: {why}")


def _not_valid(field: str, message: str) -> Rejected:
    errors = {"errors": [{"field": field, "message": message}]}
    return Rejected(Code.VALIDATION_ERROR, f"{field}: {message}", errors)


def preview(session: Session, scope: str, draft: PolicyDraft) -> PolicyPreview:
    """Return what this version would change. Raises Rejected(VALIDATION_ERROR) if the version cannot be stored."""
    found = stored(session)
    check(found, scope, draft.area, draft.vehicle_types, draft.settings.chosen())
    default = found[DEFAULT_SCOPE]
    now = found.get(scope)
    new = draft.settings.chosen()
    values_now = resolved_policy(now.settings if now else {}, default.settings).to_json()
    values_then = resolved_policy(new, new if scope == DEFAULT_SCOPE else default.settings).to_json()
    return PolicyPreview(
        scope=scope,
        version=(now.number if now else 0) + 1,
        area_now=now.area if now else None,
        area_then=draft.area,
        vehicle_types_now=now.vehicle_types if now else None,
        vehicle_types_then=draft.vehicle_types,
        changes=[
            ChangedValue(setting=name, now=values_now[name], then=value)
            for name, value in values_then.items()
            if not _is_same(values_now[name], value)
        ],
        overlaps=list(_overlaps(found, scope, draft)),
        open_broadcasts=session.scalar(_open_broadcasts(scope)) or 0,
    )


def _is_same(now: Any, then: Any) -> bool:
    # Both are compared as lists: stored values are lists, because JSON has no tuples, and the environment's settings
    # are tuples.
    return list(now) == list(then) if isinstance(now, list | tuple) else bool(now == then)


def _overlaps(found: Mapping[str, Stored], scope: str, draft: PolicyDraft) -> Iterator[OverlappingPolicy]:
    if scope == DEFAULT_SCOPE:
        return
    for other in found.values():
        if other.scope in (scope, DEFAULT_SCOPE):
            continue
        types_meet = (
            draft.vehicle_types is None
            or other.vehicle_types is None
            or set(draft.vehicle_types) & set(other.vehicle_types)
        )
        if types_meet and _areas_meet(draft.area, other.area):
            yield OverlappingPolicy(
                scope=other.scope,
                version=other.number,
                takes_precedence=_rank(other.scope, other.area, other.vehicle_types)
                < _rank(scope, draft.area, draft.vehicle_types),
            )


def _rank(scope: str, area: Area | None, vehicle_types: list[str] | None) -> tuple[bool, float, str]:
    """Return the key that sorts policies in the same order as `_IN_FORCE`."""
    return vehicle_types is None, area.radius_km if area else inf, scope


def _areas_meet(one: Area | None, other: Area | None) -> bool:
    if one is None or other is None:
        return True
    apart = distance.half_chord_squared(
        one.center.latitude, one.center.longitude, other.center.latitude, other.center.longitude
    )
    return apart <= distance.half_chord_squared_of(one.radius_km + other.radius_km)


def _open_broadcasts(scope: str) -> Select[int]:
    return select(func.count()).where(
        func.coalesce(Broadcast.policy_scope, DEFAULT_SCOPE) == scope, is_in(Broadcast.status, OPEN)
    )
