"""A customer taps twice, and the app sends no Idempotency-Key."""

from __future__ import annotations

import time
from typing import Any

from weelo_client import NO_KEY, Rejected
from weelo_demo.act import Act, together
from weelo_demo.people import LCV, Customer, VehicleKind, place
from weelo_demo.towns import CONNAUGHT_PLACE, moved

TITLE = "A double tap makes one broadcast"


def play(act: Act) -> str:
    """Check that both taps return the same broadcast. Until it is cancelled, a different request must be rejected."""
    customer = act.customer()
    (transporter,) = act.transporters(LCV, CONNAUGHT_PLACE)
    act.watch(transporter)
    tapped = time.monotonic()
    act.note(customer.name, "taps twice", f"2 × the same POST, for 1 × {LCV}")
    taps = together([lambda: _tap(customer, LCV, 1), lambda: _tap(customer, LCV, 1)])
    act.measured("two taps → two answers", time.monotonic() - tapped)
    refusals = [tap.code for tap in taps if isinstance(tap, Rejected)]
    act.check(not refusals, f"a tap was refused: {', '.join(refusals)}")
    ids = {str(tap["id"]) for tap in taps if not isinstance(tap, Rejected)}
    for broadcast_id in ids:
        act.about(customer, broadcast_id)
    act.check(len(ids) == 1, f"two taps made {len(ids)} broadcasts")
    (booking_id,) = ids
    act.hears(transporter, "new_broadcast", broadcastId=booking_id)
    listed = [offer["broadcastId"] for offer in transporter.client.offers()].count(booking_id)
    act.check(listed == 1, f"it is listed {listed} times in the transporter's offers")

    _is_refused(act, customer, booking_id)
    cancelling = time.monotonic()
    customer.client.cancel_booking(booking_id)
    act.hears(transporter, "booking_cancelled", broadcastId=booking_id)
    again = _tap(customer, LCV, 2)
    act.about(customer, str(again["id"]))
    act.measured("cancel → the next one open", time.monotonic() - cancelling)
    act.check(again["id"] != booking_id, "after the cancel, a new request returned the old broadcast")
    customer.client.cancel_booking(str(again["id"]))
    return "one broadcast, the same answer twice; a different request had to wait for the cancel"


def _is_refused(act: Act, customer: Customer, open_id: str) -> None:
    """Check that a different request is rejected while the customer has an open broadcast."""
    try:
        other = _tap(customer, LCV, 2)
    except Rejected as refused:
        act.note(customer.name, "wants another", f"{refused.status} {refused.code}")
        act.check(
            refused.code == "ORDER_ACTIVE_EXISTS", f"a different request was refused with {refused.code}"
        )
        named = refused.problem.get("activeBroadcastId")
        act.check(named == open_id, f"ORDER_ACTIVE_EXISTS names {named} instead of {open_id}")
    else:
        act.about(customer, str(other["id"]))
        act.check(False, "a different request was accepted while one is open")


def _tap(customer: Customer, kind: VehicleKind, trucks: int) -> dict[str, Any]:
    pickup = place(CONNAUGHT_PLACE, "Connaught Place, New Delhi")
    drop = place(moved(CONNAUGHT_PLACE, 9.0, 4.0), "Azadpur Mandi, Delhi")
    return dict(
        customer.client.create_booking(
            pickup, drop, kind.vehicle_type, kind.vehicle_subtype, trucks, key=NO_KEY
        )
    )
