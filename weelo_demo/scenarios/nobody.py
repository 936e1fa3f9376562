"""A booking is offered to many transporters, and none of them accepts it."""

from __future__ import annotations

import time

from weelo_demo.act import Act
from weelo_demo.people import OPEN
from weelo_demo.scenarios.deadline import GRACE_SECONDS, seconds_left
from weelo_demo.towns import MEERUT

LISTENERS = 8
TITLE = "One that nobody takes expires, and disappears everywhere"


def play(act: Act) -> str:
    """Check that at the deadline the customer gets the reason, and transporters with an offer get the withdrawal."""
    customer = act.customer()
    transporters = act.transporters(OPEN, MEERUT, LISTENERS)
    act.watch(transporters[0])
    asked = time.monotonic()
    booking = act.ask(customer, OPEN, 2, MEERUT, "Transport Nagar, Meerut")
    lifetime = seconds_left(booking)
    first = act.hears(transporters[0], "new_broadcast", broadcastId=booking["id"])
    act.measured("ask → offer heard", first.received - asked)
    for transporter in transporters[1:]:
        act.hears(transporter, "new_broadcast", broadcastId=booking["id"])
    offers = [offer["broadcastId"] for offer in transporters[0].client.offers()]
    act.check(booking["id"] in offers, "it was offered, and it is not in the transporter's list")

    expired = act.hears(
        customer, "booking_expired", within=lifetime + GRACE_SECONDS, broadcastId=booking["id"]
    )
    act.measured(f"ask → expired (after {lifetime:g} s)", expired.received - asked)
    why = act.hears(customer, "no_vehicles_available", broadcastId=booking["id"])
    act.check(why.data["reason"] == "nobody_accepted", f"the reason given is {why.data['reason']}")
    withdrawn = [
        act.hears(transporter, "booking_expired", broadcastId=booking["id"]).received
        for transporter in transporters
    ]
    moments = [expired.received, *withdrawn]
    act.measured("first → last one to hear of it", max(moments) - min(moments))
    offers = [offer["broadcastId"] for offer in transporters[0].client.offers()]
    act.check(booking["id"] not in offers, "expired, and still in the transporter's list")
    final = customer.client.booking(booking["id"])
    act.check(final["status"] == "expired", f"expired, and yet it is {final['status']}")
    return (
        f"{final['transportersNotified']} transporters got the offer, none took it; reason: nobody_accepted"
    )
