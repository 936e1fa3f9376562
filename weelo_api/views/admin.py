"""The operator's reads and levers, for callers with the role admin."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response
from pydantic import Field

from weelo_api.commands.gateway import submit
from weelo_api.http.access import allow
from weelo_api.http.declared import rejects, submits
from weelo_api.views.common import (
    Accepted,
    ById,
    PageOf,
    Paging,
    QueryTime,
    blueprint,
    json_or_404,
    page,
    primary_session,
    replica_session,
)
from weelo_workers.contracts.admin import (
    AuditView,
    AvailabilityIntervention,
    BroadcastSummaryView,
    Intervention,
    StatusFilter,
    StuckBecause,
    StuckSubject,
    StuckView,
    TransporterDetailsView,
    TransporterSummaryView,
)
from weelo_workers.contracts.broadcasts import (
    BroadcastView,
    CancelByOperator,
    CancelResult,
    ExpireByOperator,
    WidenByOperator,
)
from weelo_workers.contracts.fleet import AvailabilityView, SetAvailabilityByOperator
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import BroadcastKind, Role
from weelo_workers.contracts.wire import ShortText
from weelo_workers.doctor.current import Finding, current_findings
from weelo_workers.notifications.socket_sessions import connected
from weelo_workers.queries import admin_audit, admin_broadcasts, admin_stuck, admin_transporters
from weelo_workers.queries.pages import Page

api = blueprint("admin", "/admin")


class Period(Paging):
    """A page of a list, limited to a period of time."""

    since: QueryTime | None = Field(default=None, alias="from")
    """Only what happened at this time or later. Left out: from the beginning."""
    until: QueryTime | None = Field(default=None, alias="to")
    """Only what happened before this time. Left out: up to now."""


class BroadcastsQuery(Period):
    """Which broadcasts to return."""

    status: StatusFilter | None = None
    """Only broadcasts with this status; `open` stands for the four open ones. Left out: all of them."""
    area: ShortText | None = None
    """Only broadcasts with a pickup in this service area. As long as no areas are defined, all broadcasts are in the
    area `default`."""
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


def widen_command(broadcast_id: UUID, reason: str) -> WidenByOperator:
    """Return the command for the search's next step. It contains the step's number, so a repetition has no effect."""
    with primary_session() as session:
        following = admin_broadcasts.next_step(session, broadcast_id)
    return WidenByOperator(
        broadcast_id=broadcast_id, reason=reason, step=following.step, round=following.round
    )


def availability_command(
    transporter_id: UUID, reason: str, *, is_available: bool
) -> SetAvailabilityByOperator:
    """Return the command that puts a transporter online or offline. It records whether a socket of the app is open."""
    return SetAvailabilityByOperator(
        transporter_id=transporter_id,
        is_available=is_available,
        reason=reason,
        is_connected=transporter_id in connected([transporter_id]),
    )


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


@api.post("/broadcasts/<id>/cancel", responses={200: CancelResult, 202: Accepted})
@allow(Role.ADMIN)
@submits(CancelByOperator)
def cancel(path: ById, body: Intervention) -> Response:
    """Cancel a customer's broadcast, under the rules for the customer's own cancel. Cancelling it again succeeds."""
    return submit(CancelByOperator(broadcast_id=path.id, reason=body.reason), body)


@api.post("/broadcasts/<id>/expire", responses={200: BroadcastView, 202: Accepted})
@allow(Role.ADMIN)
@submits(ExpireByOperator)
def expire(path: ById, body: Intervention) -> Response:
    """Expire an open broadcast now instead of at its deadline. Expiring it again succeeds."""
    return submit(ExpireByOperator(broadcast_id=path.id, reason=body.reason), body)


@api.post("/broadcasts/<id>/widen", responses={200: BroadcastView, 202: Accepted})
@allow(Role.ADMIN)
@submits(WidenByOperator)
def widen(path: ById, body: Intervention) -> Response:
    """Offer a broadcast in its next ring now. If the timer or another operator does this first, no further ring is offered."""
    return submit(widen_command(path.id, body.reason), body)


@api.get("/transporters", responses={200: PageOf[TransporterSummaryView]})
@allow(Role.ADMIN)
def transporters(query: TransportersQuery) -> Response:
    """The transporters with their presence, newest first."""
    with replica_session() as session:
        found = admin_transporters.transporters(session, query.text, query.online, query.page_request())
    return page(found)


@api.get("/transporters/<id>", responses={200: TransporterDetailsView})
@allow(Role.ADMIN)
@rejects(Code.TRANSPORTER_NOT_FOUND)
def transporter(path: ById) -> Response:
    """A transporter with presence, fleet, open offers, last answers and live assignments."""
    with replica_session() as session:
        return json_or_404(admin_transporters.transporter(session, path.id), Code.TRANSPORTER_NOT_FOUND)


@api.put("/transporters/<id>/availability", responses={200: AvailabilityView, 202: Accepted})
@allow(Role.ADMIN)
@submits(SetAvailabilityByOperator)
def set_availability(path: ById, body: AvailabilityIntervention) -> Response:
    """Put a transporter online or offline. Online only if the app is connected or has sent a heartbeat lately."""
    return submit(availability_command(path.id, body.reason, is_available=body.is_available), body)


@api.get("/stuck", responses={200: PageOf[StuckView]})
@allow(Role.ADMIN)
def stuck() -> Response:
    """What does not move although it should: failing checks, then the 50 oldest of each kind. Without a database, the checks alone."""
    findings = current_findings()
    items = [
        _failing_check(each) for each in findings.failing if each.check not in admin_stuck.CHECKS_OF_ROWS
    ]
    if findings.has_database:
        with replica_session() as session:
            items += admin_stuck.stuck(session)
    return page(Page(items, None))


def _failing_check(finding: Finding) -> dict[str, Any]:
    return StuckView(
        because=StuckBecause.FAILING_CHECK,
        subject=StuckSubject.CHECK,
        subject_id=None,
        check=finding.check,
        queue=None,
        broadcast_id=None,
        since=None,
        detail=finding.detail,
        remedy=f"{finding.remedy} ({finding.runbook})",
    ).json_dict()


@api.get("/audit", responses={200: PageOf[AuditView]})
@allow(Role.ADMIN)
def audit(query: AuditQuery) -> Response:
    """The actions of operators, newest first, also those that were refused."""
    wanted = admin_audit.AuditFilter(
        actor_id=query.actor, subject_id=query.subject, since=query.since, until=query.until
    )
    with replica_session() as session:
        return page(admin_audit.audit(session, wanted, query.page_request()))
