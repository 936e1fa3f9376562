"""The operator's list of transporters, and for one transporter everything that decides which offers they get."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal,
    select,
    union,
)
from sqlalchemy.orm import Session

from weelo_workers import presence
from weelo_workers.contracts.admin import (
    AnswerKind,
    AnswerView,
    DistanceSource,
    FleetDriverView,
    OpenOfferView,
    PositionView,
    TransporterDetailsView,
    TransporterSummaryView,
)
from weelo_workers.contracts.offers import AcceptTrucks, ConfirmHold, DeclineOffer
from weelo_workers.contracts.reasons import stored_code
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastStatus, Role
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import (
    Assignment,
    Broadcast,
    Driver,
    EventRecord,
    LogLine,
    MailboxRow,
    Offer,
    Transporter,
    User,
    Vehicle,
    driver_busy,
    vehicle_busy,
)
from weelo_workers.queries.operator_search import begins_with, users_with_phone
from weelo_workers.queries.pages import Page, PageRequest
from weelo_workers.queries.views import assignment_view, place, vehicle_view

MAX_LISTED = 200
"""The limit on vehicles, drivers, offers and assignments in the details of a transporter."""
MAX_ANSWERS = 20
LINES_SEARCHED = 1_000
"""The newest lines of the transporter's log in which answers are looked for."""

_ANSWERS = (AcceptTrucks.name, ConfirmHold.name, DeclineOffer.name)


def transporters(session: Session, text: str | None, online: bool | None, page_request: PageRequest) -> Page:
    """Return a page of transporters, newest first.

    `text`: an id or its beginning, a telephone number, a part of the name, or a vehicle's number. `online`: only those who
    are online, or only the others. Raises Rejected(SERVICE_UNAVAILABLE) if `online` is given and Redis does not answer.
    """
    query = select(User.id, User.created_at).where(User.role == Role.TRANSPORTER)
    if text is not None:
        query = query.where(_matches(text))
    if online is not None:
        query = query.where(_is_online() if online else ~_is_online())
    rows, next_cursor = page_request.run_around(session, query, User.created_at, User.id, _summaries)
    states = _states([row.id for row in rows])
    return Page([_summary(row, states) for row in rows], next_cursor)


def transporter(session: Session, transporter_id: UUID) -> dict[str, Any] | None:
    """Return a transporter with fleet, offers, answers and assignments; None if no such user is known."""
    page = (
        select(User.id, User.created_at)
        .where(User.id == transporter_id, User.role == Role.TRANSPORTER)
        .cte("page")
    )
    row = session.execute(_summaries(page)).one_or_none()
    if row is None:
        return None
    summary = _summary(row, _states([transporter_id]))
    return TransporterDetailsView(
        **dict(summary),
        off_duty_since=None if summary.is_available else summary.changed_at,
        distance_source=DistanceSource.HEARTBEAT if summary.position else DistanceSource.UNKNOWN,
        vehicles=[
            vehicle_view(vehicle, busy=busy)
            for vehicle, busy in session.execute(_VEHICLES, {"transporter": transporter_id})
        ],
        drivers=[
            FleetDriverView(
                id=driver.id,
                name=driver.name,
                phone=driver.phone,
                is_available=driver.is_available,
                is_on_trip=busy,
            )
            for driver, busy in session.execute(_DRIVERS, {"transporter": transporter_id})
        ],
        open_offers=[
            OpenOfferView(
                broadcast_id=broadcast.id,
                status=BroadcastStatus(broadcast.status),
                pickup=place(broadcast.pickup),
                pickup_distance_km=offer.distance_km,
                radius_step=offer.step,
                offered_at=offer.offered_at,
                expires_at=broadcast.expires_at,
            )
            for offer, broadcast in session.execute(_OPEN_OFFERS, {"transporter": transporter_id})
        ],
        last_answers=[
            _answer(row) for row in session.execute(_LAST_ANSWERS, {"transporter": transporter_id})
        ],
        live_assignments=[
            assignment_view(each) for each in session.scalars(_LIVE, {"transporter": transporter_id})
        ],
    ).json_dict()


# --- the list -------------------------------------------------------------------------------------------


def _matches(text: str) -> ColumnElement[bool]:
    plate = text.upper().replace(" ", "").replace("-", "")
    ways: list[Select[Any]] = [
        select(User.id).where(User.role == Role.TRANSPORTER, User.name.icontains(text, autoescape=True)),
        select(Vehicle.transporter_id).where(Vehicle.plate == plate),
    ]
    if (is_id := begins_with(User.id, text)) is not None:
        ways.append(select(User.id).where(is_id))
    if (users := users_with_phone(text)) is not None:
        ways.append(users)
    return User.id.in_(union(*ways).subquery().select())


def _is_online() -> ColumnElement[bool]:
    """Return the condition that the user is online at this moment. Raises Rejected(SERVICE_UNAVAILABLE)."""
    try:
        ids = presence.all_online()
    except presence.PresenceUnavailable:
        raise Rejected(
            Code.SERVICE_UNAVAILABLE,
            "Redis does not answer, so it is not known which transporters are online. Ask without `online`.",
            {"retryAfter": 5},
        ) from None
    return User.id == any_(literal(ids, ARRAY(Uuid())))


def _summaries(page: CTE) -> Select[Any]:
    this = page.c.id
    vehicles = select(func.count()).where(Vehicle.transporter_id == this)
    offers = (
        select(func.count())
        .select_from(Offer)
        .join(Broadcast, Broadcast.id == Offer.broadcast_id)
        .where(Offer.transporter_id == this, *_OFFER_IS_OPEN)
    )
    live = select(func.count()).where(Assignment.transporter_id == this, Assignment.status.in_(LIVE))
    return (
        select(
            page.c.id,
            page.c.created_at,
            User.name,
            User.phone,
            Transporter.is_available,
            Transporter.changed_at,
            vehicles.scalar_subquery().label("vehicles"),
            vehicles.where(~vehicle_busy).scalar_subquery().label("free_vehicles"),
            offers.scalar_subquery().label("open_offers"),
            live.scalar_subquery().label("live_assignments"),
        )
        .select_from(page)
        .join(User, User.id == page.c.id)
        .outerjoin(Transporter, Transporter.id == page.c.id)
    )


def _states(ids: list[UUID]) -> dict[UUID, presence.TransporterState] | None:
    """Return what presence has about these transporters; None if Redis does not answer."""
    with suppress(presence.PresenceUnavailable):
        return presence.states(ids)
    return None


def _summary(row: Any, states: dict[UUID, presence.TransporterState] | None) -> TransporterSummaryView:
    state = states[row.id] if states is not None else None
    here = state.position if state else None
    return TransporterSummaryView(
        id=row.id,
        name=row.name,
        phone=row.phone,
        is_available=bool(row.is_available),
        changed_at=row.changed_at,
        is_online=None if state is None else state.is_online and bool(row.is_available),
        last_heartbeat_at=None if state is None else state.last_heartbeat_at,
        position=None if here is None else PositionView(latitude=here.latitude, longitude=here.longitude),
        vehicle_count=row.vehicles,
        free_vehicle_count=row.free_vehicles,
        open_offer_count=row.open_offers,
        live_assignment_count=row.live_assignments,
    )


# --- one transporter ------------------------------------------------------------------------------------

_OWN = bindparam("transporter", type_=Uuid())
_OFFER_IS_OPEN = (
    Offer.declined_at.is_(None),
    Broadcast.status.in_(OPEN),
    Broadcast.expires_at > func.clock_timestamp(),
)
_VEHICLES = (
    select(Vehicle, vehicle_busy)
    .where(Vehicle.transporter_id == _OWN)
    .order_by(Vehicle.created_at.desc(), Vehicle.id)
    .limit(MAX_LISTED)
)
_DRIVERS = (
    select(Driver, driver_busy)
    .where(Driver.transporter_id == _OWN)
    .order_by(Driver.created_at.desc(), Driver.id)
    .limit(MAX_LISTED)
)
_OPEN_OFFERS = (
    select(Offer, Broadcast)
    .join(Broadcast, Broadcast.id == Offer.broadcast_id)
    .where(Offer.transporter_id == _OWN, *_OFFER_IS_OPEN)
    .order_by(Offer.offered_at.desc(), Offer.broadcast_id)
    .limit(MAX_LISTED)
)
_LIVE = (
    select(Assignment)
    .where(Assignment.transporter_id == _OWN, Assignment.status.in_(LIVE))
    .order_by(Assignment.created_at.desc(), Assignment.id)
    .limit(MAX_LISTED)
)
# The outcomes are read from the transporter's log, because the mailbox has no index by caller.
_lines = (
    select(LogLine.event_id, LogLine.seq)
    .where(LogLine.user_id == _OWN)
    .order_by(LogLine.seq.desc())
    .limit(LINES_SEARCHED)
    .subquery()
)
_command = EventRecord.data["commandId"].astext
_LAST_ANSWERS = (
    select(EventRecord.at, EventRecord.data, MailboxRow.payload)
    .select_from(_lines)
    .join(EventRecord, EventRecord.id == _lines.c.event_id)
    .outerjoin(MailboxRow, MailboxRow.id == cast(_command, Uuid()))
    .where(
        EventRecord.event == "command_settled",
        cast(EventRecord.data["command"].astext, Text).in_(_ANSWERS),
    )
    .order_by(_lines.c.seq.desc())
    .limit(MAX_ANSWERS)
)


def _answer(row: Any) -> AnswerView:
    outcome, payload = row.data, row.payload or {}
    result, error = outcome.get("result") or {}, outcome.get("error") or {}
    declined = outcome["command"] == DeclineOffer.name
    trucks = result.get("assignments") or [{}]
    answer = AnswerKind.DECLINED if declined else AnswerKind.ACCEPTED
    return AnswerView(
        at=row.at,
        answer=AnswerKind.LOST if error else answer,
        broadcast_id=payload.get("broadcast_id") or result.get("broadcastId") or trucks[0].get("broadcastId"),
        code=error.get("code"),
        reason_code=stored_code(payload.get("reason_code")) if declined else None,
        note=payload.get("reason") if declined else None,
        command_id=outcome["commandId"],
    )
