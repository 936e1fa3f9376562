"""Reason codes: why a user declines, gives back or cancels. The user's own words are stored as a note, and have no effect."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from weelo_workers.contracts.statuses import AssignmentStatus as S, Role
from weelo_workers.contracts.wire import Wire


class ProviderReason(StrEnum):
    """The codes of drivers and transporters."""

    BREAKDOWN = "breakdown"
    DRIVER_UNAVAILABLE = "driver_unavailable"
    VEHICLE_UNAVAILABLE = "vehicle_unavailable"
    PICKUP_UNREACHABLE = "pickup_unreachable"
    GOODS_MISMATCH = "goods_mismatch"
    PRICE = "price"
    SAFETY = "safety"
    OTHER = "other"


class CustomerReason(StrEnum):
    PLANS_CHANGED = "plans_changed"
    FOUND_ELSEWHERE = "found_elsewhere"
    TOO_SLOW = "too_slow"
    WRONG_DETAILS = "wrong_details"
    PRICE = "price"
    DRIVER_ASKED = "driver_asked"
    OTHER = "other"


class SystemReason(StrEnum):
    """The codes that no user gives."""

    STALLED = "stalled"
    """The truck did not set out within START_LIMIT_SECONDS."""
    DRIVER_TIMEOUT = "driver_timeout"
    """The driver did not answer in time."""
    REPLACED = "replaced"
    """The transporter named another driver or vehicle."""


ReasonCode = ProviderReason | CustomerReason | SystemReason
OperatorReason = ProviderReason | CustomerReason
"""An operator acts for one of the parties, so an operator may give the codes of all of them."""

ALL_CODES = (*ProviderReason, *CustomerReason, *SystemReason)

OFFER = "offer"
"""The stage before a truck is assigned: a transporter declines an offer, or a customer cancels the search."""

LABELS: dict[OperatorReason, str] = {
    ProviderReason.BREAKDOWN: "The truck has broken down",
    ProviderReason.DRIVER_UNAVAILABLE: "The driver is not available",
    ProviderReason.VEHICLE_UNAVAILABLE: "The truck is not available",
    ProviderReason.PICKUP_UNREACHABLE: "The pickup cannot be reached",
    ProviderReason.GOODS_MISMATCH: "The goods are not as described",
    ProviderReason.PRICE: "The price does not fit",
    ProviderReason.SAFETY: "It is not safe",
    ProviderReason.OTHER: "Another reason",
    CustomerReason.PLANS_CHANGED: "The plans have changed",
    CustomerReason.FOUND_ELSEWHERE: "Another truck was found",
    CustomerReason.TOO_SLOW: "It takes too long",
    CustomerReason.WRONG_DETAILS: "The details of the request are wrong",
    CustomerReason.DRIVER_ASKED: "The driver asked for it",
}

_BEFORE_LOADING = (S.PENDING, S.DRIVER_ACCEPTED, S.EN_ROUTE_PICKUP, S.AT_PICKUP)
_ON_BOARD = (S.LOADING_COMPLETE, S.IN_TRANSIT, S.ARRIVED_AT_DROP)

STAGES: dict[Role, tuple[str, ...]] = {
    Role.DRIVER: _BEFORE_LOADING,
    Role.TRANSPORTER: (OFFER, *_BEFORE_LOADING),
    Role.CUSTOMER: (OFFER, *_BEFORE_LOADING),
    Role.ADMIN: (*_BEFORE_LOADING, *_ON_BOARD),
}
"""The stages in which each actor can give a reason: `offer`, and statuses of an assignment."""

CODES: dict[Role, tuple[OperatorReason, ...]] = {
    Role.DRIVER: tuple(ProviderReason),
    Role.TRANSPORTER: tuple(ProviderReason),
    Role.CUSTOMER: tuple(CustomerReason),
    Role.ADMIN: tuple(LABELS),
}

_ONLY_AT: dict[OperatorReason, set[str]] = {
    ProviderReason.PICKUP_UNREACHABLE: {OFFER, S.PENDING, S.DRIVER_ACCEPTED, S.EN_ROUTE_PICKUP},
    CustomerReason.DRIVER_ASKED: set(_BEFORE_LOADING),
}
"""Codes that make no sense in other stages, so apps do not list them there. The server accepts them in every stage."""


class ReasonView(Wire):
    """A code that this actor can give in this stage: `offer`, or a status of an assignment. `label`: in English."""

    actor: Role
    stage: str
    code: str
    label: str


def reasons() -> Iterator[ReasonView]:
    """Yield the codes for each actor and stage, in the order in which an app lists them."""
    for actor, stages in STAGES.items():
        for stage in stages:
            for code in CODES[actor]:
                if stage in _ONLY_AT.get(code, {stage}):
                    yield ReasonView(actor=actor, stage=stage, code=code, label=LABELS[code])
