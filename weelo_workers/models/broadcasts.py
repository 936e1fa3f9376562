"""Broadcasts with their slots, holds, offers, passed-over transporters and history."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    Double,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    and_,
    case,
    func,
    literal,
    null,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from weelo_workers.contracts.reasons import ALL_CODES
from weelo_workers.contracts.statuses import (
    BroadcastKind,
    BroadcastStatus,
    HoldStatus,
    PassedOverBecause,
    TruckRequestStatus,
)
from weelo_workers.lifecycles import assignment, truck_request
from weelo_workers.lifecycles.broadcast import FINAL, OPEN
from weelo_workers.lifecycles.ladder import CONTRACTED_STEP, is_last_step, ring, ring_name, step_after
from weelo_workers.lifecycles.policy import Policy
from weelo_workers.lifecycles.reach import Reach
from weelo_workers.models.base import Base, Id, one_of, status_in
from weelo_workers.models.environment_policy import environment_policy
from weelo_workers.models.fleet import Vehicle


class Broadcast(Base):
    __tablename__ = "broadcasts"

    id: Mapped[Id]
    kind: Mapped[str]
    customer_id: Mapped[UUID]
    status: Mapped[str]
    state_changed_at: Mapped[datetime]
    version: Mapped[int]
    pickup: Mapped[dict[str, Any]]
    drop: Mapped[dict[str, Any]]
    distance_km: Mapped[float | None]
    goods_type: Mapped[str | None]
    notes: Mapped[str | None]
    trucks_needed: Mapped[int] = mapped_column(SmallInteger)
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """The request as received. If the same request comes again while this broadcast is open, it is taken for a double
    tap."""
    keyed: Mapped[bool]
    radius_step: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    radius_km: Mapped[float | None]
    """How far the newest step reaches. A ring reaches its radius. A portion of the last step reaches the distance up to
    which the portions have made offers. The last portion reaches LAST_STEP_MAX_KM, or everyone (None) without that limit.
    Before the first step the value is None, too. The property `reach` distinguishes the two cases."""
    reoffer_rounds: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """How often the rings have started again, after a truck was given back (`lifecycles/reoffer.py`)."""
    contracted_until: Mapped[datetime | None]
    """When the rings follow step 0, in which only the contracted transporters have the offer. None: step 0 was not made in
    this round. Until the first ring `radius_step` stays 0."""
    transporters_notified: Mapped[int] = mapped_column(server_default=text("0"))
    end_reason: Mapped[str | None]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]
    first_won_at: Mapped[datetime | None]
    """When the first truck was assigned. It stays if the truck is lost."""
    filled_at: Mapped[datetime | None]
    """When every slot had a truck for the first time."""
    policy_settings: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """The values of the policy with which the broadcast began, keyed in camel case. They never change."""
    policy_scope: Mapped[str | None]
    policy_version: Mapped[int | None]
    """0: no operator has stored a policy of that scope."""

    __table_args__ = (
        Index(
            "one_open_broadcast_per_customer", "customer_id", unique=True, postgresql_where=status_in(OPEN)
        ),
        Index("broadcasts_of_a_customer", "customer_id", "created_at"),
        Index("broadcasts_newest_first", "created_at", "id"),
        Index("broadcasts_open_by_deadline", "expires_at", postgresql_where=status_in(OPEN)),
        Index("broadcasts_over_by_age", "state_changed_at", postgresql_where=status_in(FINAL)),
        one_of("status", BroadcastStatus, "a_broadcast_has_a_known_status"),
        one_of("kind", BroadcastKind, "a_broadcast_is_a_booking_or_an_order"),
        CheckConstraint("trucks_needed BETWEEN 1 AND 50", name="a_broadcast_needs_1_to_50_trucks"),
    )

    @property
    def policy(self) -> Policy:
        """The policy with which this broadcast began. A value that is not stored is taken from this process's settings."""
        return Policy.from_json(self.policy_settings or {}, otherwise=environment_policy())

    @property
    def reach(self) -> Reach:
        """How far this broadcast has been offered so far. Offers to contracted transporters (step 0) do not count."""
        if self.radius_step == 0:
            return Reach.nothing()
        return Reach.everyone() if self.radius_km is None else Reach.within(self.radius_km)

    @property
    def has_begun(self) -> bool:
        """Whether a step of this round has been made."""
        return self.radius_step > 0 or self.contracted_until is not None

    @property
    def is_for_contracted(self) -> bool:
        """Whether the newest step is step 0, so that only contracted transporters may get an offer."""
        return self.radius_step == 0 and self.contracted_until is not None

    @property
    def next_step(self) -> int:
        """The number of the step that comes next."""
        return step_after(
            self.radius_step,
            contracted_step_made=self.contracted_until is not None,
            contracted_first_seconds=self.policy.contracted_first_seconds,
        )

    def precedes(self, step: int) -> bool:
        """Return whether the newest step of this round is the one before `step`.

        Step 1 may follow although step 0 was left out: earlier versions do not know step 0.
        """
        return not self.has_begun if step == CONTRACTED_STEP else self.radius_step == step - 1

    @property
    def has_reached_all(self) -> bool:
        """Whether the newest step has covered the whole area of the last step, so that no step follows."""
        policy = self.policy
        radii = policy.radius_steps_km
        widest = ring(len(radii) + 1, radii, policy.last_step_max_km).reach
        return is_last_step(self.radius_step, radii) and self.reach == widest


def is_for_contracted() -> ColumnElement[bool]:
    """Return the condition `Broadcast.is_for_contracted` in SQL."""
    return and_(Broadcast.radius_step == 0, Broadcast.contracted_until.is_not(None))


def reach_covers(km: ColumnElement[float]) -> ColumnElement[bool]:
    """Return the condition `Broadcast.reach.covers(km)` in SQL. With a null `km` it is true only if the reach has no limit."""
    return and_(Broadcast.radius_step > 0, or_(Broadcast.radius_km.is_(None), km <= Broadcast.radius_km))


def reach_limit_km() -> ColumnElement[float | None]:
    """Return `Broadcast.reach.limit_km` in SQL."""
    return case((reach_is_limited(), Broadcast.radius_km), else_=null())


def reach_is_limited() -> ColumnElement[bool]:
    """Return the condition `Broadcast.reach.limit_km is not None` in SQL."""
    return and_(Broadcast.radius_step > 0, Broadcast.radius_km.is_not(None))


def policy_number(name: str) -> ColumnElement[float]:
    """Return this number of `Broadcast.policy` in SQL. `name`: the name of the field."""
    stored = Broadcast.policy_settings[to_camel(name)].as_float()
    return func.coalesce(stored, literal(float(getattr(environment_policy(), name)), Double()))


def number_of_rings() -> ColumnElement[int]:
    """Return the number of entries in `Broadcast.policy.radius_steps_km`, in SQL."""
    stored = func.jsonb_array_length(Broadcast.policy_settings["radiusStepsKm"])
    return func.coalesce(stored, len(environment_policy().radius_steps_km))


class TruckRequest(Base):
    """A slot of a broadcast, for one truck."""

    __tablename__ = "truck_requests"

    id: Mapped[Id]
    broadcast_id: Mapped[UUID] = mapped_column(ForeignKey("broadcasts.id", ondelete="CASCADE"))
    request_number: Mapped[int] = mapped_column(SmallInteger)
    vehicle_type: Mapped[str]
    vehicle_subtype: Mapped[str]
    vehicle_key: Mapped[str]
    price_per_truck: Mapped[int | None]
    status: Mapped[str]
    state_changed_at: Mapped[datetime]
    hold_id: Mapped[UUID | None] = mapped_column(ForeignKey("holds.id", ondelete="SET NULL"))
    """The present hold on the slot, or the last one."""

    __table_args__ = (
        UniqueConstraint("broadcast_id", "request_number", name="slots_of_a_broadcast_are_numbered"),
        one_of("status", TruckRequestStatus, "a_truck_request_has_a_known_status"),
        Index("slots_of_a_hold", "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
        CheckConstraint("status <> 'held' OR hold_id IS NOT NULL", name="a_held_slot_names_its_hold"),
    )

    # Each of the following rules can be used on an object, and on the class, where it is a condition for a query.

    @hybrid_property
    def is_searching(self) -> bool:
        """Whether the slot is open and not on hold, so that it is offered."""
        return self.status == TruckRequestStatus.SEARCHING

    @hybrid_method
    def fits(self, vehicle: Vehicle | type[Vehicle]) -> bool:
        """Return whether the vehicle may be assigned to the slot."""
        return self.vehicle_key == vehicle.vehicle_key


class Hold(Base):
    """A transporter's reservation of slots for a limited time. The slots refer to it."""

    __tablename__ = "holds"

    id: Mapped[Id]
    broadcast_id: Mapped[UUID] = mapped_column(ForeignKey("broadcasts.id", ondelete="CASCADE"))
    transporter_id: Mapped[UUID]
    status: Mapped[str]
    state_changed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]

    __table_args__ = (
        Index(
            "one_open_hold_per_transporter_and_broadcast",
            "broadcast_id",
            "transporter_id",
            unique=True,
            postgresql_where=status_in({HoldStatus.OPEN}),
        ),
        Index("holds_of_a_broadcast", "broadcast_id", "transporter_id", "created_at"),
        one_of("status", HoldStatus, "a_hold_has_a_known_status"),
    )


class Offer(Base):
    """An offer of a broadcast to a transporter, with the step that made it and the distance to the pickup."""

    __tablename__ = "offers"

    broadcast_id: Mapped[UUID] = mapped_column(
        ForeignKey("broadcasts.id", ondelete="CASCADE"), primary_key=True
    )
    transporter_id: Mapped[UUID] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(SmallInteger)
    distance_km: Mapped[float | None]
    last_step: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the last step made this offer.

    Such an offer does not count when the cap is checked for an offer made within a ring.
    """
    version: Mapped[int]
    """The broadcast's version when this offer was made. Earlier events are not sent to the transporter."""
    offered_at: Mapped[datetime]
    """When the offer was made, or made again in a new round."""
    first_offered_at: Mapped[datetime | None]
    """When the offer was made for the first time, if it was made again."""
    declined_at: Mapped[datetime | None]
    decline_reason_code: Mapped[str | None]
    decline_note: Mapped[str | None]
    withdrawn_at: Mapped[datetime | None]
    """When the offer was withdrawn, because one of the two had blocked the other. `declined_at` is set as well, so the offer
    is not open, and the transporter gets no further event about the broadcast."""
    may_be_offered_again: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether a new round may make this offer again although it is declined: the system declined it after the transporter had
    lost a truck."""

    @property
    def ring(self) -> str:
        """The name of the ring in which this offer was made."""
        return ring_name(self.step, last_step=self.last_step)

    __table_args__ = (
        Index("offers_of_a_transporter", "transporter_id", "offered_at"),
        one_of("decline_reason_code", ALL_CODES, "an_offer_has_a_known_reason"),
    )


class PassedOver(Base):
    """A transporter to whom a step made no offer, and why. The number of these rows per step is limited."""

    __tablename__ = "passed_over"

    broadcast_id: Mapped[UUID] = mapped_column(
        ForeignKey("broadcasts.id", ondelete="CASCADE"), primary_key=True
    )
    transporter_id: Mapped[UUID] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(SmallInteger, primary_key=True, server_default=text("0"))
    """The value of `Broadcast.reoffer_rounds` at this step."""
    step: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    reason: Mapped[str]
    distance_km: Mapped[float | None]
    at: Mapped[datetime]

    __table_args__ = (
        Index("passed_over_by_age", "at"),
        Index(
            "passed_over_without_room",
            "transporter_id",
            postgresql_where=status_in({PassedOverBecause.TOO_MANY_OFFERS}, column="reason"),
        ),
        one_of("reason", PassedOverBecause, "a_reason_is_known"),
    )


ENDS_A_SLOT = "name IN ({})".format(
    ", ".join(
        f"'{name}'"
        for name in sorted(
            {
                each.name
                for each in (
                    truck_request.EXPIRE,
                    truck_request.CANCEL,
                    assignment.CANCEL,
                    assignment.CANCEL_TRUCK,
                    assignment.REPORT_NO_SHOW,
                    assignment.END_FAILED,
                )
            }
        )
    )
)
"""The condition, in SQL, that a transition ends a slot without a delivery, or shows why a slot ended without one."""


class TransitionRecord(Base):
    """History: one row per transition of a broadcast, slot, hold or assignment, with its cause."""

    __tablename__ = "transitions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    broadcast_id: Mapped[UUID] = mapped_column(ForeignKey("broadcasts.id", ondelete="CASCADE"))
    subject: Mapped[str]
    subject_id: Mapped[UUID]
    name: Mapped[str]
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    version: Mapped[int]
    """The broadcast's version after this transition."""
    at: Mapped[datetime]
    occurred_at: Mapped[datetime | None]
    """When it happened by the clock of the driver's phone, if the phone reports this."""
    command_id: Mapped[UUID]
    cause: Mapped[str]
    actor_id: Mapped[UUID | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))

    __table_args__ = (
        Index("history_of_a_broadcast", "broadcast_id", "id"),
        # This index serves the market figures, which read why slots ended (queries/market.py). It is small, because few
        # transitions end a slot.
        Index("history_of_ended_slots", "broadcast_id", postgresql_where=text(ENDS_A_SLOT)),
    )
