"""Reason codes: why a user declines, gives back or cancels. The user's own words are stored as a note, and have no effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from weelo_workers.contracts.json_schema import DescribedEnum
from weelo_workers.contracts.statuses import AssignmentStatus as S, Role
from weelo_workers.contracts.wire import Wire


class ProviderReason(DescribedEnum):
    """The reason codes of drivers and transporters."""

    BREAKDOWN = "breakdown", "The truck has broken down."
    DRIVER_UNAVAILABLE = "driver_unavailable", "The driver is not available."
    VEHICLE_UNAVAILABLE = "vehicle_unavailable", "The truck is not available."
    PICKUP_UNREACHABLE = "pickup_unreachable", "The pickup cannot be reached."
    GOODS_MISMATCH = "goods_mismatch", "The goods are not as described."
    PRICE = "price", "The price does not fit."
    SAFETY = "safety", "It is not safe."
    OTHER = "other", "Another reason."


class CustomerReason(DescribedEnum):
    """The reason codes of customers."""

    PLANS_CHANGED = "plans_changed", "The plans have changed."
    FOUND_ELSEWHERE = "found_elsewhere", "Another truck was found."
    TOO_SLOW = "too_slow", "It takes too long."
    WRONG_DETAILS = "wrong_details", "The details of the request are wrong."
    PRICE = "price", "The price does not fit."
    DRIVER_ASKED = "driver_asked", "The driver asked for it."
    OTHER = "other", "Another reason."


class SystemReason(DescribedEnum):
    """The reason codes that no user gives."""

    STALLED = "stalled", "The truck did not set out in time (setting START_LIMIT_SECONDS)."
    DRIVER_TIMEOUT = "driver_timeout", "The driver did not answer in time."
    REPLACED = "replaced", "The transporter named another driver or vehicle, without a code."


ReasonCode = ProviderReason | CustomerReason | SystemReason
OperatorReason = ProviderReason | CustomerReason
"""An operator acts for one of the parties, so an operator may give the codes of all of them."""

ALL_CODES: tuple[ReasonCode, ...] = (*ProviderReason, *CustomerReason, *SystemReason)
_BY_VALUE: dict[str, ReasonCode] = {code.value: code for code in ALL_CODES}


def stored_code(value: str | None) -> ReasonCode | None:
    """Return the code with this stored value. Codes of several parties with one value, such as `price`, mean the same.

    Raises KeyError.
    """
    return None if value is None else _BY_VALUE[value]


OFFER = "offer"
"""The stage before a truck is assigned: a transporter declines an offer, or a customer cancels the search."""

LABELS: dict[OperatorReason, str] = {
    code: code.meaning.removesuffix(".") for code in (*ProviderReason, *CustomerReason)
}
"""What each code means, in English, for the list from which a user chooses."""

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
    """A reason code that this actor can give in this stage."""

    actor: Role
    """The role of the user who gives the reason."""
    stage: Annotated[str, Field(examples=["offer", "driver_accepted"])]
    """`offer`, which is the time before a truck is assigned, or the status of the assignment."""
    code: OperatorReason
    """The code to send as `reasonCode`."""
    label: Annotated[str, Field(examples=["The truck has broken down"])]
    """What the code means, in English, for the list from which the user chooses."""


def reasons() -> Iterator[ReasonView]:
    """Yield the codes for each actor and stage, in the order in which an app lists them."""
    for actor, stages in STAGES.items():
        for stage in stages:
            for code in CODES[actor]:
                if stage in _ONLY_AT.get(code, {stage}):
                    yield ReasonView(actor=actor, stage=stage, code=code, label=LABELS[code])
