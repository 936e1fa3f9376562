"""A customer has a contract with a transporter, who gets the request first.

The rings follow after the transporter declines.
"""

from __future__ import annotations

import time

from weelo_demo.act import Act, Skipped
from weelo_demo.people import LCV
from weelo_demo.towns import CONNAUGHT_PLACE

TITLE = "The contracted transporter comes first, then the rings"


def play(act: Act) -> str:
    """Check that a nearer transporter gets the offer as soon as the contracted one has declined."""
    customer, operator = act.customer(), act.operator()
    nearest, contracted = act.transporters(LCV, CONNAUGHT_PLACE, 2)
    act.watch(nearest, contracted)
    # A contract needs a stored customer, and a user's first command stores the user.
    customer.client.register_device(f"phone-of-{customer.id}", "android")
    act.note(operator.name, "records", f"a contract of the customer and {contracted.name}")
    operator.client.set_contract(customer.id, contracted.id, "a contract for the demo")

    asked = time.monotonic()
    booking = act.ask(customer, LCV, 1, CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    first = act.hears(contracted, "new_broadcast", broadcastId=booking["id"])
    act.measured("ask → offer heard", first.received - asked)
    if first.data["radiusStep"] != 0:
        raise Skipped("on this server contracted transporters do not come first (CONTRACTED_FIRST_SECONDS)")

    declined = time.monotonic()
    contracted.client.decline(booking["id"])
    then = act.hears(nearest, "new_broadcast", broadcastId=booking["id"])
    act.measured("decline → ring 1 heard", then.received - declined)
    act.check(then.received > declined, f"{nearest.name} got the offer before {contracted.name} had declined")
    act.check(then.data["radiusStep"] == 1, f"{nearest.name} got it at step {then.data['radiusStep']}")
    return f"{contracted.name} at step 0, then {nearest.name} at step 1"
