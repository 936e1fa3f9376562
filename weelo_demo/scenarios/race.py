"""More transporters accept at the same moment than there are slots."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from weelo_client import Rejected
from weelo_client.shapes import Accepted
from weelo_demo.act import Act, together
from weelo_demo.people import OPEN, Transporter
from weelo_demo.towns import CONNAUGHT_PLACE

RACERS = 30
TRUCKS = 3
TITLE = f"{RACERS} transporters race for {TRUCKS} trucks at the same moment"
FAIR_ANSWERS = {"BROADCAST_FILLED", "REQUEST_ALREADY_TAKEN"}


def play(act: Act) -> str:
    """Check that as many accepts succeed as there are slots, each on its own slot, and all others are rejected."""
    customer = act.customer()
    racers = act.transporters(OPEN, CONNAUGHT_PLACE, RACERS)
    asked = time.monotonic()
    booking = act.ask(customer, OPEN, TRUCKS, CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    received_at = [act.hears(racer, "new_broadcast", broadcastId=booking["id"]).received for racer in racers]
    act.measured(f"ask → all {RACERS} heard", max(received_at) - asked)

    started = time.monotonic()
    act.note("Everybody", "accepts", f"{RACERS} accepts at the same moment")
    answers = together([_accept(racer, booking["id"]) for racer in racers])
    act.measured(f"{RACERS} answers", time.monotonic() - started)

    wins = [answer for answer in answers if not isinstance(answer, Rejected)]
    codes = Counter(answer.code for answer in answers if isinstance(answer, Rejected))
    tally = ", ".join(f"{count} × {code}" for code, count in codes.items())
    act.note("Everybody", "is answered", f"{len(wins)} × accepted, {tally}")
    act.check(len(wins) == TRUCKS, f"{len(wins)} winners for {TRUCKS} trucks; losers read {tally}")
    act.check(set(codes) <= FAIR_ANSWERS, f"losers read {tally}")
    slots = {assignment["truckRequestId"] for win in wins for assignment in win["assignments"]}
    act.check(len(slots) == TRUCKS, f"{TRUCKS} winners share {len(slots)} slots")

    filled = act.hears(customer, "booking_fully_filled", broadcastId=booking["id"])
    act.measured("accept → fully filled", filled.received - started)
    mine = Counter(
        act.hears(racer, "booking_fully_filled", broadcastId=booking["id"]).data["assignedToYou"]
        for racer in racers
    )
    act.check(
        mine == {1: TRUCKS, 0: RACERS - TRUCKS},
        f"how many trucks each racer was told are theirs: {dict(mine)}",
    )
    return f"{len(wins)} winners on {len(slots)} slots; {tally}"


def _accept(racer: Transporter, broadcast_id: str) -> Callable[[], Accepted]:
    truck = racer.truck(OPEN)
    assert truck is not None
    return lambda: racer.client.accept(broadcast_id, truck.vehicle_id, truck.driver.id)
