"""What the map draws, as JSON."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, json, request

from weelo_api.console.live import MAX_NAMED, live_feed
from weelo_api.console.routes import api
from weelo_api.views.common import primary_session
from weelo_workers import clock, presence
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.queries import live_map

MAX_FLEETS = 10_000


@api.get("/map.json")
def map_data() -> Response:
    """Return the open broadcasts, the fleets that are online, and the trucks on the road.

    With `?only=id,id`: return only those of these broadcasts that are open. Each row is a list, because there may be
    thousands of rows. The primary is read, because an event may arrive before a replica has its rows.
    """
    only = _ids(request.args.get("only"))
    with primary_session() as session:
        broadcasts = live_map.open_broadcasts(session, only)
        trucks = live_map.trucks_on_the_road(session) if only is None else []
    parts = {"now": json.dumps(clock.now().timestamp()), "broadcasts": broadcasts}
    if only is None:
        parts |= {"fleets": _compact(_fleets()), "trucks": _compact([_truck(each) for each in trucks])}
    text = ",".join(f'"{name}":{part}' for name, part in parts.items())
    return Response(f"{{{text}}}", content_type="application/json")


def _ids(listed: str | None) -> list[UUID] | None:
    if listed is None:
        return None
    try:
        found = [UUID(each) for each in listed.split(",") if each]
    except ValueError:
        raise Rejected(Code.VALIDATION_ERROR, "only: ids, separated by commas") from None
    if len(found) > MAX_NAMED:
        raise Rejected(Code.VALIDATION_ERROR, f"only: at most {MAX_NAMED} ids")
    return found


def _fleets() -> list[list[Any]] | None:
    """Return the fleets online as `[id, latitude, longitude, whether a truck is free]`; None if Redis does not answer."""
    try:
        fleets = presence.online_fleets(MAX_FLEETS)
    except presence.PresenceUnavailable:
        return None
    return [
        [
            str(each.id),
            round(each.position.latitude, 5) if each.position else None,
            round(each.position.longitude, 5) if each.position else None,
            int(each.has_free_truck),
        ]
        for each in fleets
    ]


def _truck(truck: live_map.TruckOnTheRoad) -> list[Any]:
    reported = live_feed().position(truck.trip_id)
    latitude, longitude = reported or (truck.latitude, truck.longitude)
    return [
        str(truck.trip_id),
        str(truck.broadcast_id),
        str(truck.transporter_id),
        truck.vehicle_number,
        truck.status,
        round(latitude, 5),
        round(longitude, 5),
        int(reported is not None),
    ]


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))
