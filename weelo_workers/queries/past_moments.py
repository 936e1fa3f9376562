"""A broadcast as it was at a past moment, computed from its history, its offers and the records of passed-over fleets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from weelo_workers.contracts.statuses import BroadcastStatus, PassedOverBecause, TransitionSubject
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.ladder import CONTRACTED_STEP
from weelo_workers.models import Assignment, Broadcast, Offer, PassedOver, TransitionRecord, TruckRequest

_WON = frozenset({*LIVE, "completed"})


class FleetState(StrEnum):
    """The state of a fleet for a broadcast at a moment."""

    PASSED_OVER = "passed_over"
    ASKED = "asked"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    """The offer was withdrawn, because the customer or the fleet has blocked the other."""
    WON = "won"
    LOST = "lost"
    """The fleet had a truck on the broadcast, and has none any more."""


@dataclass(frozen=True, slots=True)
class FleetAtMoment:
    transporter_id: UUID
    state: FleetState
    distance_km: float | None
    step: int
    reason: str | None
    """Why the fleet was passed over, or its offer was withdrawn; None otherwise."""


@dataclass(frozen=True, slots=True)
class SlotAtMoment:
    number: int
    status: str
    vehicle_number: str | None
    """The truck that is assigned to the slot at the moment."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A broadcast at a moment. `step` is 0 before the first ring. `radius_km` is None then, and for a step without a radius.

    `contracted_first`: whether the newest step is step 0, which offers the broadcast to contracted fleets only.
    """

    at: datetime
    status: BroadcastStatus
    version: int
    step: int
    radius_km: float | None
    slots: tuple[SlotAtMoment, ...]
    fleets: tuple[FleetAtMoment, ...]
    contracted_first: bool
    last: str
    """The name of the last transition of the broadcast itself."""

    def count(self, state: FleetState) -> int:
        return sum(each.state is state for each in self.fleets)


@dataclass(frozen=True, slots=True)
class History:
    """All rows from which moments of one broadcast are computed."""

    created_at: datetime
    transitions: Sequence[TransitionRecord]
    slots: Sequence[TruckRequest]
    assignments: Sequence[Assignment]
    offers: Sequence[Offer]
    passed_over: Sequence[PassedOver]

    @property
    def times(self) -> list[datetime]:
        """The times at which something changed, oldest first, without repetitions."""
        changed: set[datetime] = {self.created_at, *(each.at for each in self.transitions)}
        for offer in self.offers:
            changed |= {offer.first_offered_at or offer.offered_at, offer.offered_at}
            changed |= {each for each in (offer.declined_at, offer.withdrawn_at) if each}
        return sorted(changed)

    def at(self, moment: datetime) -> Moment:
        """Return the broadcast as it was at this time; for a time before its creation, as it was created."""
        moment = max(moment, self.created_at)
        past = [each for each in self.transitions if each.at <= moment]
        own = [each for each in past if each.subject == TransitionSubject.BROADCAST]
        status, step, radius_km, contracted_first = BroadcastStatus.CREATED, 0, None, False
        for each in own:
            status = BroadcastStatus(each.to_status)
            if isinstance(each.details.get("step"), int):
                step, radius_km = each.details["step"], each.details.get("radiusKm")
                contracted_first = step == CONTRACTED_STEP
        latest = _latest(past)
        return Moment(
            at=moment,
            status=status,
            version=own[-1].version if own else 1,
            step=step,
            radius_km=radius_km,
            slots=tuple(self._slots(latest)),
            fleets=tuple(self._fleets(latest, moment)),
            contracted_first=contracted_first,
            last=own[-1].name if own else "created",
        )

    def _slots(self, latest: dict[tuple[str, UUID], str]) -> Iterable[SlotAtMoment]:
        trucks = {
            each.truck_request_id: each.vehicle_number
            for each in self.assignments
            if latest.get((TransitionSubject.ASSIGNMENT, each.id)) in _WON
        }
        for slot in self.slots:
            status = latest.get((TransitionSubject.TRUCK_REQUEST, slot.id), "searching")
            yield SlotAtMoment(slot.request_number, status, trucks.get(slot.id))

    def _fleets(self, latest: dict[tuple[str, UUID], str], moment: datetime) -> Iterable[FleetAtMoment]:
        had, has = set[UUID](), set[UUID]()
        for each in self.assignments:
            if (then := latest.get((TransitionSubject.ASSIGNMENT, each.id))) is not None:
                (has if then in _WON else had).add(each.transporter_id)
        asked = set[UUID]()
        for offer in self.offers:
            if (offer.first_offered_at or offer.offered_at) > moment:
                continue
            asked.add(offer.transporter_id)
            state = _state(offer, moment, had, has)
            because = PassedOverBecause.BLOCKED if state is FleetState.WITHDRAWN else None
            yield FleetAtMoment(offer.transporter_id, state, offer.distance_km, offer.step, because)
        newest: dict[UUID, PassedOver] = {}
        for row in self.passed_over:
            if row.at <= moment and row.transporter_id not in asked:
                newest[row.transporter_id] = row
        for row in newest.values():
            yield FleetAtMoment(
                row.transporter_id, FleetState.PASSED_OVER, row.distance_km, row.step, row.reason
            )


def _state(offer: Offer, moment: datetime, had: set[UUID], has: set[UUID]) -> FleetState:
    if offer.transporter_id in has:
        return FleetState.WON
    if offer.transporter_id in had:
        return FleetState.LOST
    if offer.withdrawn_at is not None and offer.withdrawn_at <= moment:
        return FleetState.WITHDRAWN
    if offer.declined_at is not None and offer.declined_at <= moment:
        return FleetState.DECLINED
    return FleetState.ASKED


def _latest(transitions: Sequence[TransitionRecord]) -> dict[tuple[str, UUID], str]:
    """Return the newest status of each subject."""
    return {(each.subject, each.subject_id): each.to_status for each in transitions}


def history(session: Session, broadcast_id: UUID) -> History | None:
    """Return the rows of this broadcast; None if there is no such broadcast."""
    broadcast = session.get(Broadcast, broadcast_id)
    if broadcast is None:
        return None

    def rows(model: Any, *order: Any) -> Sequence[Any]:
        return session.scalars(select(model).where(model.broadcast_id == broadcast_id).order_by(*order)).all()

    return History(
        created_at=broadcast.created_at,
        transitions=rows(TransitionRecord, TransitionRecord.version, TransitionRecord.id),
        slots=rows(TruckRequest, TruckRequest.request_number),
        assignments=rows(Assignment, Assignment.created_at, Assignment.id),
        offers=rows(Offer, Offer.offered_at, Offer.transporter_id),
        passed_over=rows(PassedOver, PassedOver.round, PassedOver.step),
    )
