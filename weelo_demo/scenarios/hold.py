"""A transporter holds the only slot and lets the hold expire."""

from __future__ import annotations

import time

from weelo_demo.act import Act
from weelo_demo.people import OPEN
from weelo_demo.scenarios.deadline import GRACE_SECONDS, seconds_between, seconds_left
from weelo_demo.towns import GURUGRAM

TITLE = "A hold keeps a rival away until it runs out"


def play(act: Act) -> str:
    """Check that the hold keeps the slot from a second transporter.

    When the hold expires, both transporters must be notified, and the second one must get the slot.
    """
    customer = act.customer()
    holder, rival = act.transporters(OPEN, GURUGRAM, 2)
    kept, truck = holder.truck(OPEN), rival.truck(OPEN)
    assert kept is not None
    assert truck is not None
    act.watch(holder, rival)
    booking = act.ask(customer, OPEN, 1, GURUGRAM, "Sadar Bazar, Gurugram")
    for transporter in (holder, rival):
        act.hears(transporter, "new_broadcast", broadcastId=booking["id"])

    started = time.monotonic()
    held = holder.client.hold(booking["id"], 1)
    lasts = seconds_between(booking["serverTime"], held["expiresAt"])
    act.note(holder.name, "holds", f"1 × {OPEN}, until {lasts:.0f} s after the customer asked")
    act.check(
        lasts < seconds_left(booking),
        "this server's holds (HOLD_SECONDS) last as long as its requests (BROADCAST_TIMEOUT_SECONDS): "
        "none can run out before",
    )
    taken = act.hears(rival, "trucks_remaining_update", broadcastId=booking["id"], trucksRemaining=0)
    act.measured("hold → the rival hears it", taken.received - started)
    refused = act.refused(
        rival,
        "accepts",
        lambda: rival.client.accept(booking["id"], truck.vehicle_id, truck.driver.id),
        code="REQUEST_ALREADY_TAKEN",
    )
    remaining = refused.problem.get("remaining")
    act.check(remaining == 0, f"the only slot is on hold, and {remaining} remain")

    expired = act.hears(holder, "hold_expired", within=lasts + GRACE_SECONDS, holdId=held["holdId"])
    act.measured("hold → run out", expired.received - started)
    act.hears(rival, "trucks_remaining_update", after=taken, broadcastId=booking["id"], trucksRemaining=1)
    won = rival.client.accept(booking["id"], truck.vehicle_id, truck.driver.id)
    act.check(won["isFullyFilled"], f"the only truck was accepted, and the booking is {won['status']}")
    confirmed = act.hears(customer, "truck_confirmed", broadcastId=booking["id"])
    act.measured("run out → the rival's truck confirmed", confirmed.received - expired.received)
    number = confirmed.data["assignment"]["vehicleNumber"]
    act.check(number == truck.number, f"{number} was confirmed instead of {truck.number}")
    act.refused(
        holder,
        "confirms",
        lambda: holder.client.confirm_hold(
            held["holdId"], [{"vehicleId": kept.vehicle_id, "driverId": kept.driver.id}]
        ),
        code="HOLD_EXPIRED",
    )
    return f"REQUEST_ALREADY_TAKEN while it lasted; then {rival.name} won, and {holder.name} came too late"
