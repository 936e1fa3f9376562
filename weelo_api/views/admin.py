"""The operator's reads and levers, for callers with the role admin."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from flask import Response
from pydantic import Field

from weelo_api.http.access import allow
from weelo_api.http.declared import rejects
from weelo_api.views.common import (
    ById,
    PageOf,
    Paging,
    blueprint,
    json_or_404,
    page,
    replica_session,
)
from weelo_workers.contracts.admin import (
    AuditView,
    BroadcastSummaryView,
    StuckView,
    TransporterDetailsView,
    TransporterSummaryView,
)
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus, Role
from weelo_workers.contracts.wire import DeviceTime, ShortText
from weelo_workers.queries import admin_audit, admin_broadcasts, admin_stuck, admin_transporters
from weelo_workers.queries.pages import Page

api = blueprint("admin", "/admin")


class Period(Paging):
    """A page of a list, of a period of time."""

    since: DeviceTime | None = Field(default=None, alias="from")
    """Only what happened at this time or later. Left out: from the beginning."""
    until: DeviceTime | None = Field(default=None, alias="to")
    """Only what happened before this time. Left out: up to now."""


class BroadcastsQuery(Period):
    """Which broadcasts to return."""

    status: BroadcastStatus | Literal["open"] | None = None
    """Only broadcasts with this status; `open` stands for the four open ones. Left out: all of them."""
    area: ShortText | None = None
    """Only broadcasts with a pickup in this service area. Until there are areas, it is `default` for all."""
    text: Annotated[ShortText | None, Field(alias="q", examples=["98100 00000"])] = None
    """The id of a broadcast or at least its first four characters, the id of a customer, the last digits of the customer's
    telephone number (at least four), or a part of an address. Without `from`, addresses of the last 7 days are searched."""
    kind: BroadcastKind | None = None
    """Only bookings, or only orders."""
    vehicle_type: Annotated[ShortText | None, Field(examples=["open"])] = None
    """Only broadcasts that ask for trucks of this type."""
    customer_id: UUID | None = None
    """Only broadcasts of this customer."""


class TransportersQuery(Paging):
    """Which transporters to return."""

    text: Annotated[ShortText | None, Field(alias="q", examples=["HR55X1234"])] = None
    """The id of a transporter or at least its first four characters, the last digits of the telephone number (at least four),
    a part of the name, or the number of a vehicle."""
    online: bool | None = None
    """Only transporters who are online, or only the others."""


class AuditQuery(Period):
    """Which actions to return."""

    actor: UUID | None = None
    """Only actions of this operator."""
    subject: UUID | None = None
    """Only actions about the broadcast, the assignment, the transporter or the command with this id."""


@api.get("/broadcasts", responses={200: PageOf[BroadcastSummaryView]})
@allow(Role.ADMIN)
def broadcasts(query: BroadcastsQuery) -> Response:
    """The broadcasts of all customers, newest first."""
    wanted = admin_broadcasts.BroadcastFilter(
        status=query.status,
        area=query.area,
        text=query.text,
        since=query.since,
        until=query.until,
        kind=query.kind,
        vehicle_type=query.vehicle_type,
        customer_id=query.customer_id,
    )
    with replica_session() as session:
        return page(admin_broadcasts.broadcasts(session, wanted, query.page_request()))


@api.get("/transporters", responses={200: PageOf[TransporterSummaryView]})
@allow(Role.ADMIN)
def transporters(query: TransportersQuery) -> Response:
    """The transporters with their presence, newest first."""
    with replica_session() as session:
        found = admin_transporters.transporters(session, query.text, query.online, query.page_request())
    return page(found)


@api.get("/transporters/<id>", responses={200: TransporterDetailsView})
@allow(Role.ADMIN)
@rejects(Code.NOT_FOUND)
def transporter(path: ById) -> Response:
    """A transporter with presence, fleet, open offers, last answers and live assignments."""
    with replica_session() as session:
        return json_or_404(admin_transporters.transporter(session, path.id), Code.NOT_FOUND)


@api.get("/stuck", responses={200: PageOf[StuckView]})
@allow(Role.ADMIN)
def stuck() -> Response:
    """Everything that does not move, each with what to do, on one page. Of each kind the 50 oldest are listed."""
    with replica_session() as session:
        return page(Page(admin_stuck.stuck(session), None))


@api.get("/audit", responses={200: PageOf[AuditView]})
@allow(Role.ADMIN)
def audit(query: AuditQuery) -> Response:
    """The actions of operators, newest first, also those that were refused."""
    wanted = admin_audit.AuditFilter(
        actor_id=query.actor, subject_id=query.subject, since=query.since, until=query.until
    )
    with replica_session() as session:
        return page(admin_audit.audit(session, wanted, query.page_request()))
