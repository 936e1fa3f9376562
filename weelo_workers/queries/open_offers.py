"""Queries of the open offers that count towards MAX_OPEN_OFFERS."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    DateTime,
    Double,
    FromClause,
    Row,
    Select,
    Uuid,
    bindparam,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased

from weelo_workers.contracts.statuses import HoldStatus, PassedOverBecause
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.lifecycles.ladder import is_last_step
from weelo_workers.lifecycles.offer_cap import APART_FACTOR, APART_KM, OfferRank
from weelo_workers.models import Assignment, Broadcast, Hold, Offer, PassedOver, PolicyVersion
from weelo_workers.models.base import interval_of, is_in
from weelo_workers.models.environment_policy import environment_policy
from weelo_workers.models.prepared import prepared
from weelo_workers.queries.relations import is_blocked
from weelo_workers.queries.sphere import half_chord_squared, half_chord_squared_of

_offered = aliased(Offer)

# A broadcast whose slots are reopened repeatedly outlives its timeout, but rarely by more than this. Offers older than
# the timeout plus this time are not read, so old rows cost nothing.
_REOPENED_FOR = timedelta(hours=1)


def in_last_step(broadcast: Broadcast) -> bool:
    """Return whether the newest step of this broadcast is the last step or a portion of it."""
    return is_last_step(broadcast.radius_step, broadcast.policy.radius_steps_km)


def open_offers_against(new_offers: FromClause) -> CTE:
    """Return a part of a query: for each transporter, the number of open offers that count against a new one.

    `new_offers`: a table of transporters (`id`) with their distances from the pickup (`km`). The result has the columns
    `transporter_id` and `number`. It has no row for a transporter whose number is 0.

    This is the rule of `lifecycles.offer_cap.counts_against` in SQL. `of_new_offer` returns the parameters of the
    query.

    Transporters near one another have offers of the same broadcasts. So all their offers are read first, and then each
    broadcast once. `OFFSET 0` and MATERIALIZED make PostgreSQL keep this order. Without them, while the statistics are
    old, PostgreSQL looks for an offer of each transporter in every open broadcast, or counts again for each transporter.
    """
    farthest = half_chord_squared_of(new_offers.c.km * APART_FACTOR + APART_KM)
    transporter = (
        select(new_offers.c.id, new_offers.c.km, farthest.label("farthest"))
        .offset(_NONE)
        .subquery("transporter")
    )
    offer = (
        select(Offer.broadcast_id)
        .where(
            Offer.transporter_id == transporter.c.id,
            # An earlier offer of the same broadcast is replaced by the new one, so it does not count.
            Offer.broadcast_id != bindparam("new_broadcast", type_=Uuid()),
            *_MAY_BE_OPEN,
            or_(transporter.c.km.is_(None), Offer.distance_km <= transporter.c.km),
            or_(bindparam("in_last_step", type_=Boolean()), Offer.last_step == false()),
        )
        .correlate_except(Offer)
        .offset(_NONE)
        .lateral("offer")
    )
    near = (
        select(transporter.c.id, transporter.c.km, transporter.c.farthest, offer.c.broadcast_id)
        .select_from(transporter)
        .join(offer, true())
        .cte("near_offers")
    )
    apart = half_chord_squared(
        bindparam("pickup_latitude", type_=Double()), bindparam("pickup_longitude", type_=Double())
    )
    distinct = select(near.c.broadcast_id).distinct().subquery("distinct")
    still_open = (
        select(Broadcast.id, apart.label("apart"))
        .where(Broadcast.id == distinct.c.broadcast_id, *_IS_STILL_OPEN)
        .correlate_except(Broadcast)
        .offset(_NONE)
        .lateral("still_open")
    )
    counted = (
        select(still_open.c.id, still_open.c.apart)
        .select_from(distinct)
        .join(still_open, true())
        .cte("counted")
        .prefix_with("MATERIALIZED")
    )
    return (
        select(near.c.id.label("transporter_id"), func.count().label("number"))
        .join(counted, counted.c.id == near.c.broadcast_id)
        .where(or_(near.c.km.is_(None), counted.c.apart <= near.c.farthest))
        .group_by(near.c.id)
        .cte("open_offers")
        .prefix_with("MATERIALIZED")
    )


def of_new_offer(broadcast: Broadcast, *, last_step: bool, now: datetime) -> dict[str, Any]:
    """Return the parameters of `open_offers_against` for an offer of this broadcast."""
    return {
        "new_broadcast": broadcast.id,
        "pickup_latitude": broadcast.pickup["latitude"],
        "pickup_longitude": broadcast.pickup["longitude"],
        "in_last_step": last_step,
        **_open_at(now),
    }


def open_offers_of(session: Session, transporter_id: UUID, now: datetime) -> list[OfferRank]:
    """Return this transporter's offers that count towards the cap: of open broadcasts, and not declined."""
    rows = session.execute(_OPEN_OFFERS_OF, {"transporter": transporter_id, **_open_at(now)})
    return [
        OfferRank(row.distance_km, row.last_step, pickup=(row.pickup["latitude"], row.pickup["longitude"]))
        for row in rows
    ]


# Offers that are too old to be open are not read. How old an open offer can be depends on the longest search that any
# stored version of a policy allows. PostgreSQL reads this duration from the end of an index, once per statement. Each
# query with these conditions needs the parameters that `_open_at` returns.
_LONGEST_SEARCH = select(func.max(PolicyVersion.longest_search_seconds)).scalar_subquery()
_MAY_BE_OPEN = (
    Offer.offered_at
    > func.least(
        cast(bindparam("offered_since"), DateTime(timezone=True)),
        cast(bindparam("reopened_since"), DateTime(timezone=True)) - interval_of(_LONGEST_SEARCH),
    ),
    Offer.declined_at.is_(None),
)
_IS_STILL_OPEN = (
    is_in(Broadcast.status, OPEN),
    Broadcast.expires_at > bindparam("now", type_=DateTime(timezone=True)),
)
_NONE: ColumnElement[int] = literal_column("0")
_OPEN_OFFERS_OF = (
    select(Offer.distance_km, Offer.last_step, Broadcast.pickup)
    .join(Broadcast, Broadcast.id == Offer.broadcast_id)
    .where(Offer.transporter_id == bindparam("transporter"), *_MAY_BE_OPEN, *_IS_STILL_OPEN)
)


def _open_at(now: datetime) -> dict[str, datetime]:
    policy = environment_policy()
    longest = timedelta(seconds=max(policy.broadcast_timeout_seconds, policy.reoffer_seconds))
    reopened_since = now - _REOPENED_FOR
    return {"now": now, "offered_since": reopened_since - longest, "reopened_since": reopened_since}


def largest_cap(session: Session, broadcast: Broadcast) -> int:
    """Return the largest cap on open offers in the broadcast's own policy, all stored policies and the environment's policy."""
    stored = session.scalar(select(func.max(PolicyVersion.settings["maxOpenOffers"].as_integer())))
    return max(broadcast.policy.max_open_offers, environment_policy().max_open_offers, stored or 0)


def kept_out(transporter_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition that some open broadcast is not offered to this transporter, who had no room for more offers."""
    return (
        exists()
        .where(
            PassedOver.transporter_id == transporter_id,
            is_in(PassedOver.reason, {PassedOverBecause.TOO_MANY_OFFERS}),
            Broadcast.id == PassedOver.broadcast_id,
            is_in(Broadcast.status, OPEN),
        )
        .where(
            ~exists().where(
                _offered.broadcast_id == PassedOver.broadcast_id,
                _offered.transporter_id == PassedOver.transporter_id,
            )
        )
    )


def has_open_offer(session: Session, broadcast_id: UUID) -> bool:
    """Return whether some transporter has an offer of this broadcast and has not declined it (`open_offer_exists`)."""
    return bool(session.scalar(select(open_offer_exists(literal(broadcast_id, Uuid())))))


def open_offer_exists(
    broadcast_id: ColumnElement[UUID], *, besides: ColumnElement[UUID] | None = None
) -> ColumnElement[bool]:
    """Return the SQL condition that some transporter may still take the broadcast, so that the next step can wait.

    It is true if a transporter has an offer of the broadcast that they have not declined, an open hold, or a truck on
    the broadcast. `besides`: a transporter who is declining now. Their offer and hold are ignored, their trucks are not.
    """
    other, hold = aliased(Offer), aliased(Hold)
    others = [] if besides is None else [other.transporter_id != besides]
    holders = [] if besides is None else [hold.transporter_id != besides]
    return or_(
        exists().where(other.broadcast_id == broadcast_id, other.declined_at.is_(None), *others),
        exists().where(hold.broadcast_id == broadcast_id, is_in(hold.status, {HoldStatus.OPEN}), *holders),
        exists().where(Assignment.broadcast_id == broadcast_id, is_in(Assignment.status, LIVE)),
    )


def leaves_room(
    open_offers: Sequence[OfferRank],
    km: ColumnElement[float],
    *,
    last_step: ColumnElement[bool],
    cap: ColumnElement[int] | int,
) -> ColumnElement[bool]:
    """Return the condition that these open offers leave room for an offer of a `Broadcast` whose pickup is `km` away.

    This is `lifecycles.offer_cap.has_room` in SQL. An inexact `km` makes the condition inexact. If `km` is null, the
    condition may be true although there is no room.
    """
    if not open_offers:
        return true()
    places = [each.pickup or (None, None) for each in open_offers]
    each = func.unnest(
        _doubles([each.km for each in open_offers]),
        literal([each.last_step for each in open_offers], ARRAY(Boolean())),
        _doubles([latitude for latitude, _ in places]),
        _doubles([longitude for _, longitude in places]),
    ).table_valued(
        column("km", Double()),
        column("last_step", Boolean()),
        column("latitude", Double()),
        column("longitude", Double()),
        name="open_offers",
    )
    each = each.render_derived()
    apart = half_chord_squared(each.c.latitude, each.c.longitude)
    count = (
        select(func.count())
        .select_from(each)
        .where(
            each.c.km <= km,
            apart <= half_chord_squared_of(km * APART_FACTOR + APART_KM),
            or_(last_step, ~each.c.last_step),
        )
        .correlate(Broadcast)
        .scalar_subquery()
    )
    # If the first condition is true, there is room at every distance, and PostgreSQL does not compute the second one.
    return or_(literal(len(open_offers)) < cap, count < cap)


def kept_out_by(session: Session, broadcast_id: UUID, now: datetime) -> Sequence[Row[UUID, UUID]]:
    """Return pairs (transporter, open broadcast), nearest first.

    Each transporter of a pair has an offer of `broadcast_id` that they did not decline. The broadcast of the pair is
    another one: a step passed them over because they had no room, and it has not been offered to them since. Its
    customer and the transporter do not block one another.
    """
    return session.execute(_KEPT_OUT_NEAREST_FIRST, {"broadcast": broadcast_id, "now": now}).all()


def keeps_out_any(session: Session, broadcast_id: UUID, now: datetime) -> bool:
    """Return whether `kept_out_by` returns anything."""
    return bool(session.scalar(_KEEPS_OUT_ANY, {"broadcast": broadcast_id, "now": now}))


def keeps_out_others(broadcast_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition `keeps_out_any` in SQL. It has the parameter `now`."""
    return _kept_out(broadcast_id).exists()


def _kept_out(broadcast_id: ColumnElement[UUID]) -> Select[UUID, UUID]:
    own_offer, other = aliased(Offer), aliased(Broadcast)
    return (
        select(PassedOver.transporter_id, PassedOver.broadcast_id)
        .join(own_offer, own_offer.transporter_id == PassedOver.transporter_id)
        .join(other, other.id == PassedOver.broadcast_id)
        .where(
            own_offer.broadcast_id == broadcast_id,
            own_offer.declined_at.is_(None),
            is_in(PassedOver.reason, {PassedOverBecause.TOO_MANY_OFFERS}),
            is_in(other.status, OPEN),
            other.expires_at > bindparam("now", type_=DateTime(timezone=True)),
            ~exists().where(
                _offered.broadcast_id == PassedOver.broadcast_id,
                _offered.transporter_id == PassedOver.transporter_id,
            ),
            ~is_blocked(other.customer_id, PassedOver.transporter_id),
        )
    )


_KEPT_OUT = _kept_out(bindparam("broadcast", type_=Uuid()))
_KEPT_OUT_NEAREST_FIRST = _KEPT_OUT.order_by(
    PassedOver.distance_km.asc().nulls_last(), PassedOver.broadcast_id, PassedOver.transporter_id
)
_KEEPS_OUT_ANY = select(_KEPT_OUT.exists()).execution_options(**prepared("keeps_out_any"))


def _doubles(values: Sequence[float | None]) -> ColumnElement[Any]:
    return literal(values, ARRAY(Double()))
