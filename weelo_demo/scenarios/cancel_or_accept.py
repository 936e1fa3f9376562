"""The customer cancels at the moment at which a transporter accepts."""

from __future__ import annotations

import time
from typing import cast

from weelo_client import Rejected
from weelo_client.shapes import Accepted, Cancelled
from weelo_demo.act import Act, together
from weelo_demo.people import TIPPER, Customer, Transporter, Truck
from weelo_demo.towns import CONNAUGHT_PLACE

# Seconds by which cancel and accept are delayed, so that each is first in some of the rounds.
HEAD_STARTS = ((0.0, 0.0), (0.04, 0.0), (0.0, 0.04), (0.08, 0.0), (0.0, 0.08), (0.0, 0.0))
TITLE = f"{len(HEAD_STARTS)} times a cancel in the face of an accept"


def play(act: Act) -> str:
    """Check that the booking ends as cancelled and without a truck, whichever commits first, and both are notified."""
    customer = act.customer()
    (transporter,) = act.transporters(TIPPER, CONNAUGHT_PLACE)
    truck = transporter.truck(TIPPER)
    assert truck is not None
    act.watch(act.driver(truck))
    rounds = [_round(act, customer, transporter, truck, *held_back) for held_back in HEAD_STARTS]
    reverted = sum(won for won, _ in rounds)
    act.measured("cancel → withdrawn, at worst", max(seconds for _, seconds in rounds))
    return f"{reverted} accepts reverted, {len(HEAD_STARTS) - reverted} rejected with BROADCAST_CANCELLED; no truck assigned"


def _round(
    act: Act,
    customer: Customer,
    transporter: Transporter,
    truck: Truck,
    cancel_late: float,
    accept_late: float,
) -> tuple[bool, float]:
    """Return whether the accept was first (and was reverted), and after how many seconds the offer was withdrawn."""
    booking = act.ask(customer, TIPPER, 1, CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    booking_id = booking["id"]
    act.hears(transporter, "new_broadcast", broadcastId=booking_id)
    started = time.monotonic()
    cancelled, accepted = together(
        [
            lambda: customer.client.cancel_booking(booking_id),
            lambda: transporter.client.accept(booking_id, truck.vehicle_id, truck.driver.id),
        ],
        head_starts=(cancel_late, accept_late),
    )
    if isinstance(cancelled, Rejected):
        act.check(False, f"the cancel was refused: {cancelled.code}")
    won = not isinstance(accepted, Rejected)
    act.note(
        "Both",
        "are answered",
        f"cancel: cancelled, accept: {'won' if won else cast(Rejected, accepted).code}",
    )

    status = customer.client.booking(booking_id)["status"]
    act.check(status == "cancelled", f"cancelled, and yet it is {status}")
    live = [
        a
        for a in transporter.client.assignments()
        if a["broadcastId"] == booking_id and a["status"] != "cancelled"
    ]
    act.check(not live, f"cancelled, and yet a truck is assigned: {live}")
    withdrawal = act.hears(transporter, "booking_cancelled", broadcastId=booking_id)
    if won:
        _was_reverted(act, truck, cast(Accepted, accepted), cast(Cancelled, cancelled))
    else:
        code = cast(Rejected, accepted).code
        act.check(code == "BROADCAST_CANCELLED", f"the loser read {code}")
    return won, withdrawal.received - started


def _was_reverted(act: Act, truck: Truck, accepted: Accepted, cancelled: Cancelled) -> None:
    assignment_id = accepted["assignments"][0]["id"]
    act.check(
        cancelled["assignmentsCancelled"] == 1,
        f"the cancel reverted {cancelled['assignmentsCancelled']} trucks",
    )
    trip_cancelled = act.hears(truck.driver, "trip_cancelled", broadcastId=cancelled["broadcast"]["id"])
    act.check(
        trip_cancelled.data["assignment"]["id"] == assignment_id,
        "the driver was notified of another trip's cancel",
    )
