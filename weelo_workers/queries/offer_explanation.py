"""Explains why a broadcast was offered to a transporter or was not, and what became of the offer."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from weelo_workers import clock, presence
from weelo_workers.contracts.offers import PassedOverView, WhyView
from weelo_workers.contracts.statuses import AssignmentStatus, NotOfferedBecause, PassedOverBecause
from weelo_workers.contracts.wire import two_decimals
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.offer_cap import OfferRank, has_room
from weelo_workers.models import (
    Assignment,
    Broadcast,
    EventRecord,
    LogLine,
    Offer,
    PassedOver,
    TransitionRecord,
    Transporter,
    TruckRequest,
    Vehicle,
)
from weelo_workers.models.fleet import of_kinds
from weelo_workers.queries.open_offers import in_last_step, open_offers_of
from weelo_workers.queries.relations import are_blocked, is_contracted

NotOffered = PassedOverBecause | NotOfferedBecause

SENTENCES: dict[NotOffered, str] = {
    PassedOverBecause.OFFLINE: "they were not available",
    PassedOverBecause.SILENT: "their phone was silent",
    PassedOverBecause.NO_FREE_TRUCK: "no free truck of this kind",
    PassedOverBecause.TOO_MANY_OFFERS: "they had too many open offers at least as near",
    PassedOverBecause.BLOCKED: "the customer or the fleet has blocked the other",
    PassedOverBecause.NEXT_STEP: "others came first in the order, and it was over before their turn",
    PassedOverBecause.SOFT_CAP: "those with fewer open offers came first, and it was over before their turn",
    NotOfferedBecause.CONTRACTED_FIRST: "it was offered only to the fleets that have a contract with the customer",
    NotOfferedBecause.NO_TRUCK: "no truck of this kind",
    NotOfferedBecause.NOT_YET: "the request is open, and their turn has not come yet",
    NotOfferedBecause.CAME_TOO_LATE: "nothing was left to take when they came within reach",
    NotOfferedBecause.POSITION_UNKNOWN: "their position is not known at the moment, as Redis does not answer",
}

_UNTIL_NEXT_STEP: dict[NotOffered, str] = {
    PassedOverBecause.NEXT_STEP: "others came first in the order, and their turn has not come yet",
    PassedOverBecause.SOFT_CAP: "those with fewer open offers came first, and their turn has not come yet",
    NotOfferedBecause.CONTRACTED_FIRST: "the fleets that have a contract with the customer come first",
}
"""The sentences while the request is open."""


def explain(
    session: Session,
    broadcast_id: UUID,
    transporter_id: UUID,
    acked: int | None,
    *,
    for_transporter: bool = False,
) -> WhyView | None:
    """Return the explanation; None if there is no such broadcast.

    `acked`: the last `seq` that the app has acknowledged; None if it is not known. `for_transporter`: the explanation
    is for the transporter, who must not learn of a block.
    """
    broadcast = session.get(Broadcast, broadcast_id)
    if broadcast is None:
        return None
    found = _explained(session, broadcast, transporter_id, acked)
    if not for_transporter or found.reason != PassedOverBecause.BLOCKED:
        return found
    return WhyView(
        broadcast_id=broadcast_id,
        transporter_id=transporter_id,
        offered=found.offered,
        answer="withdrawn" if found.offered else "not offered",
        trucks_won=found.trucks_won,
    )


def _explained(session: Session, broadcast: Broadcast, transporter_id: UUID, acked: int | None) -> WhyView:
    broadcast_id = broadcast.id
    passed = _passed_over(session, broadcast_id, transporter_id)
    offer = session.get(Offer, (broadcast_id, transporter_id))
    if offer is not None:
        return _offered(session, offer, passed, acked)
    reason: NotOffered
    if passed:
        reason, as_of_now, more = passed[-1].reason, False, f" (step {passed[-1].step})"
    else:
        reason, as_of_now, more = _never_offered(session, broadcast, transporter_id)
    return WhyView(
        broadcast_id=broadcast_id,
        transporter_id=transporter_id,
        offered=False,
        answer=f"not offered: {_sentence(reason, broadcast, passed)}{more}",
        reason=reason,
        as_of_now=as_of_now,
        passed_over=tuple(passed),
    )


def _is_open(broadcast: Broadcast) -> bool:
    return broadcast.status in OPEN and broadcast.expires_at > clock.now()


def _sentence(reason: NotOffered, broadcast: Broadcast, passed: Sequence[PassedOverView]) -> str:
    if reason in _UNTIL_NEXT_STEP and _is_open(broadcast):
        return _UNTIL_NEXT_STEP[reason]
    if reason == PassedOverBecause.TOO_MANY_OFFERS and passed and passed[-1].distance_km is None:
        return "they had too many open offers"  # if no distances are known, all open offers count
    return SENTENCES.get(reason, "")


def _offered(session: Session, offer: Offer, passed: list[PassedOverView], acked: int | None) -> WhyView:
    seq = session.scalar(
        select(func.max(LogLine.seq))
        .join(EventRecord, EventRecord.id == LogLine.event_id)
        .where(
            LogLine.user_id == offer.transporter_id,
            EventRecord.event == "new_broadcast",
            EventRecord.data["broadcastId"].astext == str(offer.broadcast_id),
        )
    )
    whether_seen, seen = _seen(seq, acked)
    won = session.scalar(
        select(func.count()).where(
            Assignment.broadcast_id == offer.broadcast_id,
            Assignment.transporter_id == offer.transporter_id,
            Assignment.status.in_({*LIVE, AssignmentStatus.COMPLETED}),
        )
    )
    gave_back = session.scalar(
        select(func.count()).where(
            Assignment.broadcast_id == offer.broadcast_id,
            Assignment.transporter_id == offer.transporter_id,
            Assignment.status == AssignmentStatus.GIVEN_BACK,
        )
    )
    words = [f"offered at step {offer.step}"]
    if offer.distance_km is not None:
        words.append(f"{two_decimals(offer.distance_km):.1f} km")
    words.append(whether_seen)
    if offer.withdrawn_at is not None:
        words.append(f"withdrawn: {SENTENCES[PassedOverBecause.BLOCKED]}")
    elif offer.declined_at is not None:
        words.append("declined")
    if won:
        words.append(f"won {won}")
    if gave_back:
        words.append(f"gave {gave_back} back")
    return WhyView(
        broadcast_id=offer.broadcast_id,
        transporter_id=offer.transporter_id,
        offered=True,
        answer=", ".join(words),
        reason=None if offer.withdrawn_at is None else PassedOverBecause.BLOCKED,
        radius_step=offer.step,
        pickup_distance_km=offer.distance_km,
        offered_at=offer.offered_at,
        seen=seen,
        declined_at=offer.declined_at if offer.withdrawn_at is None else None,
        trucks_won=won or 0,
        passed_over=tuple(passed),
    )


def _seen(seq: int | None, acked: int | None) -> tuple[str, bool | None]:
    """Return whether the transporter has seen the offer, in words and as a truth value (None: not known).

    `seq`: the number of the offer's line in their log; None if the line was purged. `acked`: see `explain`.
    """
    if seq is None:
        return "too long ago to know whether seen", None  # the line of the offer was purged from the log
    if acked is None:
        return "not known whether seen: Redis does not answer", None
    return ("seen", True) if acked >= seq else ("not seen yet", False)


def _passed_over(session: Session, broadcast_id: UUID, transporter_id: UUID) -> list[PassedOverView]:
    rows: Sequence[PassedOver] = session.scalars(
        select(PassedOver)
        .where(PassedOver.broadcast_id == broadcast_id, PassedOver.transporter_id == transporter_id)
        .order_by(PassedOver.round, PassedOver.step)
    ).all()
    return [
        PassedOverView(
            step=row.step, reason=PassedOverBecause(row.reason), distance_km=row.distance_km, at=row.at
        )
        for row in rows
    ]


def _had_a_free_truck(broadcast_id: UUID, transporter_id: UUID) -> ColumnElement[bool]:
    """Return the condition that the transporter had a free truck at the time of a step, according to the assignments.

    Used if no step recorded a reason: a step records only a limited number of transporters whose trucks are all on the
    road.
    """
    kinds = select(TruckRequest.vehicle_key).where(TruckRequest.broadcast_id == broadcast_id)
    step = TransitionRecord
    was_busy = exists().where(
        Assignment.vehicle_id == Vehicle.id,
        Assignment.created_at <= step.at,
        or_(Assignment.status.in_(LIVE), Assignment.state_changed_at > step.at),
    )
    return (
        select(step.id)
        .join(Vehicle, Vehicle.transporter_id == transporter_id)
        .where(
            step.broadcast_id == broadcast_id,
            step.subject == "broadcast",
            step.details.has_key("step"),
            of_kinds(kinds),
            ~was_busy,
        )
        .exists()
    )


def _has_room(session: Session, broadcast: Broadcast, transporter_id: UUID, km: float) -> bool:
    open_offers = open_offers_of(session, transporter_id, clock.now())
    pickup = (broadcast.pickup["latitude"], broadcast.pickup["longitude"])
    new = OfferRank(km, in_last_step(broadcast), pickup=pickup)
    return has_room(open_offers, new, broadcast.policy.max_open_offers)


def _has_an_open_slot(broadcast: Broadcast, transporter_id: UUID) -> ColumnElement[bool]:
    """Return the condition that an open slot fits a truck of this transporter, so that they may still get an offer."""
    return exists().where(
        TruckRequest.broadcast_id == broadcast.id,
        TruckRequest.is_searching,
        TruckRequest.fits(Vehicle),
        Vehicle.transporter_id == transporter_id,
        broadcast.expires_at > func.clock_timestamp(),
    )


def _within_reach(session: Session, broadcast: Broadcast, transporter_id: UUID, km: float) -> NotOffered:
    """Return why the broadcast was not offered to a transporter who has a truck for it and is within reach now."""
    if not _has_room(session, broadcast, transporter_id, km):
        return PassedOverBecause.TOO_MANY_OFFERS
    has_an_open_slot = select(_has_an_open_slot(broadcast, transporter_id))
    return NotOfferedBecause.NOT_YET if session.scalar(has_an_open_slot) else NotOfferedBecause.CAME_TOO_LATE


def _never_offered(
    session: Session, broadcast: Broadcast, transporter_id: UUID
) -> tuple[NotOffered, bool, str]:
    """Return the reason if no step has recorded one: (reason, whether it is derived from the present state, details)."""
    if are_blocked(session, broadcast.customer_id, transporter_id):
        return PassedOverBecause.BLOCKED, True, ""
    kinds = select(TruckRequest.vehicle_key).where(TruckRequest.broadcast_id == broadcast.id)
    has_truck = exists().where(Vehicle.transporter_id == transporter_id, of_kinds(kinds))
    if not session.scalar(select(has_truck)):
        return NotOfferedBecause.NO_TRUCK, True, ""
    was_free = select(_had_a_free_truck(broadcast.id, transporter_id))
    if not broadcast.reach.is_nothing and not session.scalar(was_free):
        return PassedOverBecause.NO_FREE_TRUCK, False, ""
    reason, more = _by_present_state(session, broadcast, transporter_id)
    return reason, True, more


def _has_contract(session: Session, broadcast: Broadcast, transporter_id: UUID) -> bool:
    return bool(session.scalar(select(is_contracted(broadcast.customer_id, transporter_id))))


def _by_present_state(session: Session, broadcast: Broadcast, transporter_id: UUID) -> tuple[NotOffered, str]:
    """Return the reason that availability and position give now, with details."""
    transporter = session.get(Transporter, transporter_id)
    if transporter is None or not transporter.is_available:
        return PassedOverBecause.OFFLINE, ""
    try:
        here = presence.position(transporter_id)
    except presence.PresenceUnavailable:
        return NotOfferedBecause.POSITION_UNKNOWN, ""
    if here is None:
        return PassedOverBecause.SILENT, ""
    return _by_position(session, broadcast, transporter_id, here)


def _by_position(
    session: Session, broadcast: Broadcast, transporter_id: UUID, here: presence.Point
) -> tuple[NotOffered, str]:
    km = presence.Point(broadcast.pickup["latitude"], broadcast.pickup["longitude"]).km_to(here)
    if broadcast.is_for_contracted and not _has_contract(session, broadcast, transporter_id):
        return NotOfferedBecause.CONTRACTED_FIRST, ""
    if broadcast.is_for_contracted or broadcast.reach.covers(km):
        return _within_reach(session, broadcast, transporter_id, km), ""
    reached = broadcast.reach.limit_km
    rings_text = "no ring was offered yet" if reached is None else f"the rings reached {reached:.1f} km"
    return NotOfferedBecause.OUT_OF_RADIUS, f"they are {km:.1f} km away, {rings_text}"
