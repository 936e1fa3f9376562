"""Counts the market's figures from the transitions and the rejections of commands, after their commit.

The unit of work records every transition, so this module sees each of them. A transition is either counted by the
function that `COUNTED` names for it, or listed in `NOT_COUNTED`; a test compares both with the lifecycles. Counters are
changed only after the commit: once, even if the transaction is repeated or the command is delivered twice. If the
process ends between the commit and the count, the count is lost. The figures of `queries/market.py` are computed from
the rows, so they lose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, cast
from uuid import UUID

from prometheus_client import Counter, Histogram

from weelo_workers.contracts.offers import ACCEPTS
from weelo_workers.contracts.reasons import SystemReason
from weelo_workers.contracts.rejections import Rejected
from weelo_workers.contracts.statuses import EndedBecause
from weelo_workers.lifecycles import (
    assignment as assignments,
    broadcast as broadcasts,
    hold as holds,
    truck_request as slots,
)
from weelo_workers.lifecycles.ladder import is_last_step, ring_name
from weelo_workers.market import counters
from weelo_workers.market.areas import area_of
from weelo_workers.market.definitions import (
    LOST,
    OFFER_STAGE,
    TRUCK_LOST,
    vehicle_type,
    vehicle_types,
)
from weelo_workers.messaging.handlers import observes_outcomes
from weelo_workers.messaging.unit_of_work import Transitioned, UnitOfWork
from weelo_workers.models import Assignment, Broadcast, TruckRequest

NO_CODE = "none"


class Count(NamedTuple):
    """One increment of a counter, or one observation of a histogram."""

    metric: Counter | Histogram
    labels: tuple[str, ...]
    value: float = 1.0

    def apply(self) -> None:
        labelled = self.metric.labels(*self.labels)
        if isinstance(labelled, Histogram):
            labelled.observe(self.value)
        else:
            labelled.inc(self.value)


class Transaction:
    """The transitions of one command, with their broadcasts and slots.

    The functions in `COUNTED` get it as an argument.
    """

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    @cached_property
    def broadcasts(self) -> dict[UUID, Broadcast]:
        return {row.id: row for row in self._uow.known if isinstance(row, Broadcast)}

    @cached_property
    def slots(self) -> dict[UUID, TruckRequest]:
        """The slots that have changed, by id."""
        rows = (each.row for each in self._uow.transitions)
        return {row.id: row for row in rows if isinstance(row, TruckRequest)}

    @cached_property
    def ended(self) -> dict[UUID, Transitioned]:
        """The transitions by which assignments have ended, by the slot's id."""
        return {
            each.row.truck_request_id: each
            for each in self._uow.transitions
            if isinstance(each.row, Assignment) and each.row.status in assignments.OVER
        }

    def of_broadcast(self, broadcast_id: UUID, name: str) -> dict[str, Any] | None:
        """Return the record of this transition of the broadcast; None if the command has not made it."""
        for row, record in self._uow.transitions:
            if row.id == broadcast_id and record["name"] == name:
                return record
        return None

    def kind_of(self, row: TruckRequest | Assignment) -> tuple[str, str]:
        """Return area and vehicle type of a slot, or of an assignment whose slot the same command has changed."""
        slot = self.slots[row.truck_request_id] if isinstance(row, Assignment) else row
        return area_of(self.broadcasts[row.broadcast_id]), slot.vehicle_type


Rule = Callable[[Any, dict[str, Any], Transaction], Iterator[Count]]


def _kind_of_request(broadcast: Broadcast) -> tuple[str, str]:
    return area_of(broadcast), vehicle_type(broadcast.request)


def _code(record: dict[str, Any]) -> str:
    return cast(str, record["details"].get("reasonCode") or NO_CODE)


def _ring(step: int, broadcast: Broadcast) -> str:
    return ring_name(step, last_step=is_last_step(step, broadcast.policy.radius_steps_km))


def _created(row: Broadcast, _: dict[str, Any], __: Transaction) -> Iterator[Count]:
    yield Count(counters.REQUESTS, _kind_of_request(row))
    for asked, trucks in vehicle_types(row.request).items():
        yield Count(counters.SLOTS_ASKED, (area_of(row), asked), trucks)


def _offered(row: Broadcast, record: dict[str, Any], _: Transaction) -> Iterator[Count]:
    if offers := record["details"].get("told"):
        yield Count(counters.OFFERS, (*_kind_of_request(row), _ring(record["details"]["step"], row)), offers)


def _taken(row: Broadcast, record: dict[str, Any], _: Transaction) -> Iterator[Count]:
    # `first_won_at` and `filled_at` are each set only once. So if one equals the time of this transition, this
    # transition has set it.
    at: datetime = record["at"]
    seconds = max(0.0, (at - row.created_at).total_seconds())
    if row.first_won_at == at:
        yield Count(counters.SECONDS_TO_FIRST, _kind_of_request(row), seconds)
    if row.filled_at == at:
        yield Count(counters.SECONDS_TO_FULL, _kind_of_request(row), seconds)


def _won(row: Assignment, _: dict[str, Any], transaction: Transaction) -> Iterator[Count]:
    yield Count(counters.SLOTS_WON, (*transaction.kind_of(row), str(row.ring)))


def _slot_expired(row: TruckRequest, _: dict[str, Any], transaction: Transaction) -> Iterator[Count]:
    of_broadcast = transaction.of_broadcast(row.broadcast_id, broadcasts.EXPIRE.name)
    reason = str(of_broadcast["details"].get("reason")) if of_broadcast else TRUCK_LOST
    yield Count(counters.SLOTS_EXPIRED, (*transaction.kind_of(row), reason))


def _slot_cancelled(row: TruckRequest, record: dict[str, Any], transaction: Transaction) -> Iterator[Count]:
    whole = transaction.of_broadcast(row.broadcast_id, broadcasts.CANCEL.name)
    ended = transaction.ended.get(row.id)
    stage = str(ended.record["from_status"]) if ended else OFFER_STAGE
    if whole is not None:
        because = transaction.broadcasts[row.broadcast_id].end_reason or EndedBecause.CUSTOMER_CANCELLED
    else:
        because = CANCELLED_BECAUSE[ended.record["name"]] if ended else EndedBecause.CUSTOMER_CANCELLED
    yield Count(counters.CANCELS, (*transaction.kind_of(row), because, stage, _code(whole or record)))


def _declined(row: Assignment, record: dict[str, Any], transaction: Transaction) -> Iterator[Count]:
    if _code(record) == SystemReason.DRIVER_TIMEOUT:
        yield Count(counters.DRIVER_TIMEOUTS, transaction.kind_of(row))
    else:
        yield Count(counters.DRIVER_DECLINES, (*transaction.kind_of(row), _code(record)))


def _given_back(row: Assignment, record: dict[str, Any], transaction: Transaction) -> Iterator[Count]:
    yield Count(counters.GIVEN_BACK, (*transaction.kind_of(row), _code(record)))


def _replacement_declined(
    row: Assignment, record: dict[str, Any], transaction: Transaction
) -> Iterator[Count]:
    """Count that a truck was given back, because its new driver declined or did not answer.

    A missing answer also counts as a time-out.
    """
    if _code(record) == SystemReason.DRIVER_TIMEOUT:
        yield Count(counters.DRIVER_TIMEOUTS, transaction.kind_of(row))
    yield from _given_back(row, record, transaction)


CANCELLED_BECAUSE = {
    assignments.CANCEL_TRUCK.name: EndedBecause.CUSTOMER_CANCELLED,
    assignments.REPORT_NO_SHOW.name: EndedBecause.CUSTOMER_NO_SHOW,
    assignments.END_FAILED.name: EndedBecause.ENDED_BY_OPERATOR,
}
"""Why a slot was cancelled, by the transition of its assignment. If the whole broadcast is cancelled, the broadcast has the reason."""

COUNTED: dict[tuple[str, str], Rule] = {
    ("broadcast", "create"): _created,
    ("broadcast", broadcasts.BEGIN.name): _offered,
    ("broadcast", broadcasts.WIDEN_UNFILLED.name): _offered,
    ("broadcast", broadcasts.WIDEN_PARTLY_FILLED.name): _offered,
    ("broadcast", broadcasts.TAKE_SOME.name): _taken,
    ("broadcast", broadcasts.TAKE_LAST.name): _taken,
    ("truck_request", slots.EXPIRE.name): _slot_expired,
    ("truck_request", slots.CANCEL.name): _slot_cancelled,
    ("assignment", "win"): _won,
    ("assignment", assignments.DECLINE.name): _declined,
    ("assignment", assignments.DECLINE_REPLACEMENT.name): _replacement_declined,
    ("assignment", assignments.GIVE_BACK.name): _given_back,
    ("assignment", assignments.GIVE_BACK_UNANSWERED.name): _given_back,
    ("assignment", assignments.STALL.name): _given_back,
}
"""The rule of each counted transition, by subject and name. A creation has the name that the history gives it."""

NOT_COUNTED: frozenset[tuple[str, str]] = frozenset(
    {
        # Not counted: these transitions end a broadcast. Its slots expire or are cancelled, and the slots' transitions
        # are counted instead.
        ("broadcast", broadcasts.EXPIRE.name),
        ("broadcast", broadcasts.CANCEL.name),
        ("broadcast", broadcasts.LAPSE.name),
        ("broadcast", broadcasts.CANCEL_LAST_TRUCK.name),
        # Not counted: a truck was lost, and the transition of its assignment is counted instead.
        ("broadcast", broadcasts.REOPEN_SOME.name),
        ("broadcast", broadcasts.REOPEN_ALL.name),
        ("broadcast", broadcasts.LOSE_TRUCK.name),
        ("broadcast", broadcasts.LOSE_TRUCK_UNDER_WAY.name),
        ("broadcast", broadcasts.LOSE_TRUCK_WHILE_OPEN.name),
        ("broadcast", broadcasts.LOSE_ONLY_TRUCK_WHILE_OPEN.name),
        ("broadcast", broadcasts.LOSE_TRUCK_AFTER_EXPIRY.name),
        ("truck_request", slots.REOPEN.name),
        # Not counted: the cancellation of the assignment's slot is counted instead.
        ("assignment", assignments.CANCEL.name),
        ("assignment", assignments.CANCEL_TRUCK.name),
        ("assignment", assignments.REPORT_NO_SHOW.name),
        ("assignment", assignments.END_FAILED.name),
        # Not counted: the creation of the slot's assignment is counted instead.
        ("truck_request", slots.ASSIGN.name),
        # Not counted: the following transitions change no figure.
        ("broadcast", broadcasts.ACTIVATE.name),
        ("broadcast", broadcasts.NONE_UNDER_WAY.name),
        ("broadcast", broadcasts.SET_OUT.name),
        ("broadcast", broadcasts.COMPLETE.name),
        ("broadcast", broadcasts.CONTINUE.name),
        ("truck_request", slots.HOLD.name),
        ("truck_request", slots.RELEASE.name),
        ("truck_request", slots.ACCEPT.name),
        ("truck_request", slots.REASSIGN.name),
        ("truck_request", slots.COMPLETE.name),
        ("hold", "hold"),
        *(("hold", each.name) for each in holds.LIFECYCLE.transitions),
        ("assignment", assignments.ACCEPT.name),
        *(("assignment", each.name) for each in assignments.REACH.values()),
        ("assignment", assignments.REPLACE_DRIVER.name),
        *(("assignment", each.name) for each in assignments.REPLACE_VEHICLE.values()),
        ("assignment", assignments.END_COMPLETED.name),
    }
)


@observes_outcomes
def count(uow: UnitOfWork, refusal: Rejected | None) -> Callable[[], None] | None:
    """Return the function that counts what this command has done; None if no figure changes. Executes no SQL."""
    found = list(_transitions(uow) if refusal is None else _rejection(uow, refusal))
    if not found:
        return None

    def apply() -> None:
        for each in found:
            each.apply()

    return apply


def _transitions(uow: UnitOfWork) -> Iterator[Count]:
    transaction = Transaction(uow)
    for row, record in uow.transitions:
        rule = COUNTED.get((record["subject"], record["name"]))
        if rule is not None:
            yield from rule(row, record, transaction)


def _rejection(uow: UnitOfWork, refusal: Rejected) -> Iterator[Count]:
    if uow.command_name not in ACCEPTS or refusal.code not in LOST:
        return
    for broadcast in Transaction(uow).broadcasts.values():
        yield Count(counters.ACCEPTS_LOST, (*_kind_of_request(broadcast), refusal.code.name))
