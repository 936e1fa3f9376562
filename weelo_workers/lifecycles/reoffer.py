"""Re-offers: whether the slot of a lost truck is offered again, to which transporters, and until when (WAYS-02)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from weelo_workers.contracts.statuses import AssignmentStatus, BroadcastStatus
from weelo_workers.lifecycles import assignment, broadcast
from weelo_workers.lifecycles.lifecycle import Transition


class LostBecause(StrEnum):
    """Why an assigned truck does not come."""

    DRIVER_DECLINED = "driver_declined"
    DRIVER_SILENT = "driver_silent"
    REPLACEMENT_DECLINED = "replacement_declined"
    REPLACEMENT_SILENT = "replacement_silent"
    GIVEN_BACK = "given_back"
    GIVEN_BACK_UNANSWERED = "given_back_unanswered"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class ReofferRule:
    """What follows from the loss of a truck.

    `new_round`: whether the search begins again. If it does, the rings start with the first one, the deadline is
    renewed even if it has passed, the fleet never gets this slot again, and the customer is told that the truck is
    lost. If it does not, the rings go on where they were, unless the deadline has passed, and the fleet is left out if
    it has no other free truck and driver.

    `may_be_offered_again`: whether later rounds offer the broadcast to the fleet again, without the slots that it gave
    back. False after the fleet's driver has declined.
    """

    transition: Transition[AssignmentStatus]
    new_round: bool
    may_be_offered_again: bool


RULES: dict[LostBecause, ReofferRule] = {
    LostBecause.DRIVER_DECLINED: ReofferRule(assignment.DECLINE, new_round=False, may_be_offered_again=False),
    LostBecause.DRIVER_SILENT: ReofferRule(assignment.DECLINE, new_round=False, may_be_offered_again=True),
    LostBecause.REPLACEMENT_DECLINED: ReofferRule(
        assignment.DECLINE_REPLACEMENT, new_round=True, may_be_offered_again=True
    ),
    LostBecause.REPLACEMENT_SILENT: ReofferRule(
        assignment.DECLINE_REPLACEMENT, new_round=True, may_be_offered_again=True
    ),
    LostBecause.GIVEN_BACK: ReofferRule(assignment.GIVE_BACK, new_round=True, may_be_offered_again=True),
    LostBecause.GIVEN_BACK_UNANSWERED: ReofferRule(
        assignment.GIVE_BACK_UNANSWERED, new_round=True, may_be_offered_again=True
    ),
    LostBecause.STALLED: ReofferRule(assignment.STALL, new_round=True, may_be_offered_again=True),
}

AT_LEAST = timedelta(seconds=60)
"""CONTRACT section 4: a broadcast that is reopened before its deadline stays open for at least this long."""


@dataclass(frozen=True, slots=True)
class RoundLimits:
    """Limits of the new rounds of a broadcast.

    `seconds`: the shortest time that a new round lasts. `rounds`: how many new rounds a broadcast gets at most.
    """

    seconds: float
    rounds: int


def open_until(
    rule: ReofferRule,
    status: BroadcastStatus,
    *,
    now: datetime,
    deadline: datetime,
    rounds: int,
    limits: RoundLimits,
) -> datetime | None:
    """Return the deadline of the broadcast after one of its slots is reopened; None if the slot is not offered again.

    `rounds`: how many new rounds the broadcast has had.
    """
    if status not in broadcast.REOPEN_SOME.when:
        return None
    if rule.new_round:
        return max(deadline, now + timedelta(seconds=limits.seconds)) if rounds < limits.rounds else None
    if status == BroadcastStatus.EXPIRED or now >= deadline:
        return None
    return max(deadline, now + AT_LEAST)
