"""The customers of a run: they ask for trucks, and cancel if they wait too long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy import Uuid, bindparam, select

from weelo_demo.towns import Point, distance_km
from weelo_lab.demand import PlannedRequest, stream
from weelo_lab.engine import Engine, Outcome
from weelo_lab.habits import Customers as Habits
from weelo_workers.contracts.broadcasts import CancelBroadcast, CreateBooking, NewBooking
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.reasons import CustomerReason
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus, Role
from weelo_workers.contracts.wire import Place
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models import Broadcast
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.models.prepared import prepared

_STATUS = (
    select(Broadcast.status, Broadcast.first_won_at)
    .where(Broadcast.id == bindparam("broadcast", type_=Uuid()))
    .execution_options(**prepared("lab_broadcast_status"))
)


@dataclass(slots=True)
class Asked:
    """A request and its present state. `has_truck`: whether a truck was ever won for it, even if it was lost again."""

    plan: PlannedRequest
    broadcast_id: UUID | None = None
    has_truck: bool = False


class Customers:
    """Plays all customers of one run."""

    def __init__(self, lab: Engine, habits: Habits, requests: Sequence[PlannedRequest], seed: str) -> None:
        self._lab, self._habits, self._seed = lab, habits, seed
        self.requests = [Asked(each) for each in requests]
        """In the order of their numbers."""
        self._by_broadcast: dict[UUID, Asked] = {}

    def begin(self) -> None:
        """Plan the requests."""
        for asked in self.requests:
            self._lab.at(asked.plan.micros, partial(self._ask, asked))

    def of_broadcast(self, broadcast_id: UUID) -> Asked | None:
        """Return the request of a broadcast; None until its customer knows the broadcast."""
        return self._by_broadcast.get(broadcast_id)

    def has_truck(self, broadcast_id: UUID) -> None:
        """Plan what the customer does if no truck sets out. Called for each won truck; only the first has an effect."""
        asked = self.of_broadcast(broadcast_id)
        if asked is None or asked.has_truck:
            return
        asked.has_truck = True
        dice = stream(self._seed, "customer", asked.plan.number, "waits for the start")
        if dice.random() < self._habits.leaves:
            seconds = self._habits.waits_for_start_seconds * math.exp(
                self._habits.spread * dice.gauss(0.0, 1.0)
            )
            self._lab.after(round(seconds, 3), partial(self._leave, asked))

    def _ask(self, asked: Asked) -> None:
        plan = asked.plan
        booking = NewBooking(
            pickup=_place(plan.pickup, plan.town),
            drop=_place(plan.drop, "the drop"),
            vehicle_type=plan.kind.type,
            vehicle_subtype=plan.kind.subtype,
            trucks_needed=plan.trucks,
            distance_km=round(distance_km(plan.pickup, plan.drop), 2),
            price_per_truck=plan.price,
        )
        self._lab.post(
            CreateBooking(customer_id=plan.customer_id, request=booking),
            Caller(plan.customer_id, Role.CUSTOMER, f"Customer {plan.number}"),
            partial(self._asked, asked),
        )

    def _asked(self, asked: Asked, outcome: Outcome) -> None:
        if outcome.status != "succeeded":
            return
        asked.broadcast_id = UUID(outcome.result["id"])
        self._by_broadcast[asked.broadcast_id] = asked
        dice = stream(self._seed, "customer", asked.plan.number, "waits for a truck")
        if dice.random() < self._habits.gives_up:
            seconds = self._habits.waits_seconds * math.exp(self._habits.spread * dice.gauss(0.0, 1.0))
            self._lab.after(round(seconds, 3), partial(self._give_up, asked))

    def _give_up(self, asked: Asked) -> None:
        """Cancel if the app shows no truck yet."""
        status, has_won = self._shown(asked)
        if status in OPEN and not has_won:
            self._cancel(asked)

    def _leave(self, asked: Asked) -> None:
        """Cancel if the app shows that no truck has set out."""
        status, _ = self._shown(asked)
        if status in OPEN or status is BroadcastStatus.FULLY_FILLED:
            self._cancel(asked)

    def _shown(self, asked: Asked) -> tuple[BroadcastStatus, bool]:
        """Return the status that the app shows, and whether a truck has been won."""
        self._lab.write_time()
        with autocommit_engine().connect() as connection:
            row = connection.execute(_STATUS, {"broadcast": asked.broadcast_id}).one()
        return BroadcastStatus(row.status), row.first_won_at is not None

    def _cancel(self, asked: Asked) -> None:
        assert asked.broadcast_id is not None
        command = CancelBroadcast(
            broadcast_id=asked.broadcast_id,
            customer_id=asked.plan.customer_id,
            kind=BroadcastKind.BOOKING,
            reason_code=CustomerReason.TOO_SLOW,
        )
        self._lab.post(command, Caller(asked.plan.customer_id, Role.CUSTOMER))


def _place(at: Point, name: str) -> Place:
    return Place(latitude=at.latitude, longitude=at.longitude, address=name)
