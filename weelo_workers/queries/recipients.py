"""Lists the transporters to whom a broadcast was offered or whom a step passed over, one line each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Text, case, cast, func, literal, null, select, union_all
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from weelo_workers.contracts.offers import RecipientView
from weelo_workers.contracts.reasons import stored_code
from weelo_workers.contracts.statuses import AssignmentStatus, OfferAnswer, PassedOverBecause
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.models import Assignment, Broadcast, Offer, PassedOver
from weelo_workers.queries.pages import Page, PageRequest


def recipients(session: Session, broadcast_id: UUID, page_request: PageRequest) -> Page | None:
    """Return a page of transporters, the most recently found first; None if there is no such broadcast.

    The order is that of the times at which transporters were first found. So a later offer does not move a transporter
    to a page that was read already.

    A transporter who was passed over and got an offer later is shown with the offer. A transporter whom several steps
    passed over is shown with the newest reason. `queries.offer_explanation` has all steps of one transporter.
    """
    if session.get(Broadcast, broadcast_id) is None:
        return None
    offered = select(
        Offer.transporter_id,
        literal(True).label("offered"),
        Offer.step,
        Offer.distance_km,
        func.coalesce(Offer.first_offered_at, Offer.offered_at).label("at"),
        case((Offer.withdrawn_at.is_not(None), PassedOverBecause.BLOCKED.value)).label("reason"),
        case((Offer.withdrawn_at.is_(None), Offer.declined_at)).label("declined_at"),
        case((Offer.withdrawn_at.is_(None), Offer.decline_reason_code)).label("decline_reason_code"),
        case((Offer.withdrawn_at.is_(None), Offer.decline_note)).label("decline_note"),
    ).where(Offer.broadcast_id == broadcast_id)
    passed_over = select(
        PassedOver.transporter_id,
        literal(False).label("offered"),
        PassedOver.step,
        PassedOver.distance_km,
        PassedOver.at,
        PassedOver.reason,
        cast(null(), DateTime(timezone=True)).label("declined_at"),
        cast(null(), Text()).label("decline_reason_code"),
        cast(null(), Text()).label("decline_note"),
    ).where(PassedOver.broadcast_id == broadcast_id)
    every = union_all(offered, passed_over).subquery()
    first_at = func.min(every.c.at).over(partition_by=every.c.transporter_id)
    one_each = (
        select(every, first_at.label("first_at"))
        .ext(distinct_on(every.c.transporter_id))
        .order_by(every.c.transporter_id, every.c.offered.desc(), every.c.at.desc(), every.c.step.desc())
        .subquery()
    )
    won = (
        select(func.count())
        .where(
            Assignment.broadcast_id == broadcast_id,
            Assignment.transporter_id == one_each.c.transporter_id,
            Assignment.status.in_({*LIVE, AssignmentStatus.COMPLETED}),
        )
        .scalar_subquery()
    )
    query = select(one_each, won.label("trucks_won"))
    rows, next_cursor = page_request.apply_to_columns(
        session, query, one_each.c.first_at, one_each.c.transporter_id
    )
    return Page([_view(row) for row in rows], next_cursor)


def _view(row: Any) -> RecipientView:
    return RecipientView(
        transporter_id=row.transporter_id,
        offered=row.offered,
        radius_step=row.step,
        pickup_distance_km=row.distance_km,
        at=row.at,
        reason=None if row.reason is None else PassedOverBecause(row.reason),
        answer=_answer(row),
        declined_at=row.declined_at,
        decline_reason_code=stored_code(row.decline_reason_code),
        decline_note=row.decline_note,
        trucks_won=row.trucks_won,
    )


def _answer(row: Any) -> OfferAnswer | None:
    """Return what became of the offer: accepted, if the transporter has won a truck, even if the offer was withdrawn later."""
    if row.trucks_won:
        return OfferAnswer.ACCEPTED
    if row.offered and row.reason == PassedOverBecause.BLOCKED:
        return OfferAnswer.WITHDRAWN
    return OfferAnswer.DECLINED if row.declined_at is not None else None
