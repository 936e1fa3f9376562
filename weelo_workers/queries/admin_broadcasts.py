"""The operator's list of broadcasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Select, Text, cast, exists, func, or_, select, union
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from weelo_workers import clock
from weelo_workers.contracts.admin import BroadcastSummaryView, Contact, StatusFilter, StuckBecause
from weelo_workers.contracts.broadcasts import ExpireBroadcast
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.policy import DEFAULT_SCOPE
from weelo_workers.market.areas import area_of, ensure_known
from weelo_workers.models import Broadcast, MailboxRow, TruckRequest, User
from weelo_workers.models.mailbox import failed_before, parked, unsettled
from weelo_workers.queries.backlog import OVERDUE_SECONDS
from weelo_workers.queries.operator_search import begins_with, users_with_phone
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.policies import scopes
from weelo_workers.queries.slots import filled
from weelo_workers.queries.views import place, policy_ref, requested_vehicles

ADDRESS_WINDOW = timedelta(days=7)
"""Addresses have no index. Without `since`, only those of this time are searched."""


@dataclass(frozen=True, slots=True)
class BroadcastFilter:
    """Which broadcasts to list. `since`, `until`: the time of creation."""

    status: StatusFilter | None = None
    area: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    kind: BroadcastKind | None = None
    vehicle_type: str | None = None
    customer_id: UUID | None = None


def broadcasts(session: Session, wanted: BroadcastFilter, page_request: PageRequest) -> Page:
    """Return a page of broadcasts, newest first. Raises Rejected(VALIDATION_ERROR) if there is no such area."""
    if wanted.area is not None:
        ensure_known(wanted.area, scopes(session))
    query = select(Broadcast.id, Broadcast.created_at).where(*_conditions(wanted))
    rows, next_cursor = page_request.run_around(
        session, query, Broadcast.created_at, Broadcast.id, _with_details
    )
    return Page([_view(row) for row in rows], next_cursor)


@dataclass(frozen=True, slots=True)
class NextStep:
    """The next step of a search, which its timer would make. `round`: the number of new rounds so far."""

    step: int
    round: int


def next_step(session: Session, broadcast_id: UUID) -> NextStep:
    """Return the next step of this broadcast's search. For an unknown broadcast it is the first one."""
    found = session.get(Broadcast, broadcast_id)
    return NextStep(found.next_step, found.reoffer_rounds) if found else NextStep(1, 0)


def _conditions(wanted: BroadcastFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.area is not None:
        found.append(func.coalesce(Broadcast.policy_scope, DEFAULT_SCOPE) == wanted.area)
    if wanted.status is not None:
        found.append(Broadcast.status.in_(OPEN if wanted.status == "open" else (wanted.status,)))
    if wanted.since is not None:
        found.append(Broadcast.created_at >= wanted.since)
    if wanted.until is not None:
        found.append(Broadcast.created_at < wanted.until)
    if wanted.kind is not None:
        found.append(Broadcast.kind == wanted.kind)
    if wanted.vehicle_type is not None:
        found.append(
            exists().where(
                TruckRequest.broadcast_id == Broadcast.id,
                func.lower(TruckRequest.vehicle_type) == wanted.vehicle_type.lower(),
            )
        )
    if wanted.customer_id is not None:
        found.append(Broadcast.customer_id == wanted.customer_id)
    if wanted.text is not None:
        found.append(_matches(wanted.text, wanted.since))
    return found


def _matches(text: str, since: datetime | None) -> ColumnElement[bool]:
    """Return the condition that the text is a broadcast's id or its beginning, or identifies its customer or an address.

    A customer matches by the whole id or the end of the telephone number; an address by any part of it.
    """
    ways: list[Select[Any]] = []
    if (is_id := begins_with(Broadcast.id, text)) is not None:
        ways.append(select(Broadcast.id).where(is_id))
    if (is_customer := begins_with(Broadcast.customer_id, text)) is not None and len(text) >= 32:
        ways.append(select(Broadcast.id).where(is_customer))
    if (customers := users_with_phone(text)) is not None:
        ways.append(select(Broadcast.id).where(Broadcast.customer_id.in_(customers)))
    addresses = (Broadcast.pickup["address"].astext, Broadcast.drop["address"].astext)
    ways.append(
        select(Broadcast.id).where(
            Broadcast.created_at >= (since or clock.now() - ADDRESS_WINDOW),
            or_(*(address.icontains(text, autoescape=True) for address in addresses)),
        )
    )
    # Each of the separate queries uses an index of its own. One condition with OR would read the whole table.
    return Broadcast.id.in_(union(*ways).subquery().select())


def _with_details(page: CTE) -> Select[Any]:
    """Return the statement that reads the broadcasts of the page, with their customers, slots and pending commands."""
    about = MailboxRow.payload["broadcast_id"].astext
    commands = (
        select(
            about.label("about"),
            func.bool_or(MailboxRow.name == ExpireBroadcast.name).label("has_expiry"),
            func.bool_or(parked(MailboxRow)).label("has_parked"),
            func.bool_or(failed_before(MailboxRow)).label("has_failing"),
        )
        .where(unsettled(MailboxRow), about.in_(select(cast(page.c.id, Text))))
        .group_by(about)
        .cte("commands")
    )
    slots = (
        select(
            func.jsonb_agg(
                aggregate_order_by(
                    func.jsonb_build_array(
                        TruckRequest.vehicle_type,
                        TruckRequest.vehicle_subtype,
                        TruckRequest.vehicle_key,
                        TruckRequest.price_per_truck,
                        TruckRequest.status,
                    ),
                    TruckRequest.request_number,
                )
            )
        )
        .where(TruckRequest.broadcast_id == Broadcast.id)
        .scalar_subquery()
    )
    return (
        select(
            Broadcast,
            page.c.id,
            page.c.created_at,
            User.name,
            User.phone,
            slots.label("slots"),
            commands.c.has_expiry,
            commands.c.has_parked,
            commands.c.has_failing,
            func.clock_timestamp().label("now"),
        )
        .select_from(page)
        .join(Broadcast, Broadcast.id == page.c.id)
        .outerjoin(User, User.id == Broadcast.customer_id)
        .outerjoin(commands, commands.c.about == cast(page.c.id, Text))
    )


def _view(row: Any) -> BroadcastSummaryView:
    broadcast: Broadcast = row.Broadcast
    slots = [
        TruckRequest(
            vehicle_type=vehicle_type,
            vehicle_subtype=vehicle_subtype,
            vehicle_key=vehicle_key,
            price_per_truck=price,
            status=status,
        )
        for vehicle_type, vehicle_subtype, vehicle_key, price, status in row.slots or ()
    ]
    return BroadcastSummaryView(
        id=broadcast.id,
        kind=BroadcastKind(broadcast.kind),
        status=BroadcastStatus(broadcast.status),
        state_changed_at=broadcast.state_changed_at,
        version=broadcast.version,
        area=area_of(broadcast),
        policy=policy_ref(broadcast),
        customer=Contact(id=broadcast.customer_id, name=row.name, phone=row.phone),
        pickup=place(broadcast.pickup),
        drop=place(broadcast.drop),
        requested_vehicles=requested_vehicles(slots),
        trucks_needed=broadcast.trucks_needed,
        trucks_filled=filled(slots),
        radius_step=broadcast.radius_step,
        radius_km=broadcast.reach.limit_km,
        transporters_notified=broadcast.transporters_notified,
        end_reason=broadcast.end_reason,
        expires_at=broadcast.expires_at,
        created_at=broadcast.created_at,
        stuck=_stuck(row),
    )


def _stuck(row: Any) -> list[StuckBecause]:
    is_open = row.Broadcast.status in OPEN
    late = is_open and row.now > row.Broadcast.expires_at + timedelta(seconds=OVERDUE_SECONDS)
    found = {
        StuckBecause.PAST_DEADLINE: late,
        StuckBecause.NO_EXPIRY_TIMER: is_open and not row.has_expiry,
        StuckBecause.PARKED_COMMAND: row.has_parked,
        StuckBecause.FAILING_COMMAND: row.has_failing and not row.has_parked,
    }
    return [because for because, holds in found.items() if holds]
