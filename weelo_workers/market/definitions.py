"""What the market figures count, shared by the counters (`counting.py`) and the queries (`queries/market.py`)."""

from __future__ import annotations

from typing import Any

from weelo_workers.contracts.rejections import Code

SEVERAL = "several"
"""The vehicle type of an order that asks for trucks of more than one type."""

TRUCK_LOST = "truck_lost"
"""Why a slot expired that had a truck and lost it, and that was not offered again. The other reasons are `ExpiredBecause`."""

OFFER_STAGE = "offer"
"""The stage of a slot without a truck. The other stages are the statuses of assignments, as in `GET /reasons`."""

LOST = (
    Code.REQUEST_ALREADY_TAKEN,
    Code.NOT_ENOUGH_AVAILABLE,
    Code.BROADCAST_FILLED,
    Code.BROADCAST_CANCELLED,
    Code.BROADCAST_EXPIRED,
    Code.HOLD_EXPIRED,
)
"""The codes of an accept that came too late. With other codes the transporter cannot take the slot at any time."""


def vehicle_types(request: dict[str, Any]) -> dict[str, int]:
    """Return how many trucks of each type a request asks for. `request`: the stored JSON of a booking or an order."""
    rows = request.get("vehicleRequirements")
    if rows is None:
        return {request["vehicleType"]: request["trucksNeeded"]}
    asked: dict[str, int] = {}
    for row in rows:
        asked[row["vehicleType"]] = asked.get(row["vehicleType"], 0) + row["quantity"]
    return asked


def vehicle_type(request: dict[str, Any]) -> str:
    """Return the vehicle type of a request, or `several`."""
    asked = vehicle_types(request)
    return next(iter(asked)) if len(asked) == 1 else SEVERAL
