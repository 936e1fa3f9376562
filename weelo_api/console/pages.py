"""The pages of the console. Their queries are those of the API's routes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast, get_args
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, redirect, request

from weelo_api.console import wording
from weelo_api.console.levers import END_TRIP, LEVERS_OF_FLEETS, levers_of_broadcast
from weelo_api.console.moments import map_of, scale_of
from weelo_api.console.routes import api, page, session as console_session
from weelo_api.views.common import replica_session
from weelo_workers import clock, presence
from weelo_workers.contracts.admin import StatusFilter
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import BroadcastKind, BroadcastStatus, Role
from weelo_workers.contracts.vehicle_kinds import TYPES
from weelo_workers.doctor.current import current_findings
from weelo_workers.lifecycles.assignment import LIVE
from weelo_workers.lifecycles.broadcast import OPEN
from weelo_workers.models.engine import read_engine
from weelo_workers.notifications.socket_sessions import acked
from weelo_workers.queries import (
    admin_audit,
    admin_broadcasts,
    admin_stuck,
    admin_transporters,
    broadcasts as broadcast_queries,
    past_moments,
)
from weelo_workers.queries.offer_explanation import SENTENCES, explain
from weelo_workers.queries.pages import PageRequest
from weelo_workers.queries.people import people
from weelo_workers.queries.queue_overview import failing_commands, parked_commands, queue_states
from weelo_workers.queries.recipients import recipients
from weelo_workers.queries.relations import relations_of

ROWS = 50
FLEETS_SHOWN = 100
LISTED_COMMANDS = 100
RELATIONS_SHOWN = 100

WITHIN = {
    "15m": ("15 minutes", timedelta(minutes=15)),
    "1h": ("1 hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
}


@api.get("")
def start() -> str:
    """Return the page with the live map."""
    return page("map.html")


# --- broadcasts -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of the list, as given in the address of the page."""

    q: str = ""
    status: str = "open"
    kind: str = ""
    vehicle: str = ""
    area: str = ""
    within: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of_request(cls) -> Filters:
        given = request.args
        return cls(
            given.get("q", "").strip()[:100],
            given.get("status", "" if given.get("q") else "open"),
            *(
                given.get(name, "").strip()[:100]
                for name in ("kind", "vehicle", "area", "within", "since", "until")
            ),
        )

    def query(self) -> admin_broadcasts.BroadcastFilter:
        """Return the filters as the query of broadcasts takes them. Raises Rejected(VALIDATION_ERROR)."""
        try:
            status = _status(self.status)
            kind = _kind(self.kind)
            since, until = _time(self.since), _time(self.until)
        except ValueError as error:
            raise Rejected(Code.VALIDATION_ERROR, str(error)) from None
        if self.within in WITHIN:
            since = clock.now() - WITHIN[self.within][1]
        return admin_broadcasts.BroadcastFilter(
            status=status,
            area=self.area or None,
            text=self.q or None,
            since=since,
            until=until,
            kind=kind,
            vehicle_type=self.vehicle or None,
        )

    @property
    def others(self) -> list[str]:
        """The given filters as texts, such as `kind: order`, except the search text and the status."""
        given = ("kind", "vehicle", "area", "within", "since", "until")
        return [f"{name}: {getattr(self, name)}" for name in given if getattr(self, name)]

    def address(self, **changed: str) -> str:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__} | changed
        return "/console/broadcasts?" + urlencode({k: v for k, v in values.items() if v or k == "status"})


def _status(text: str) -> StatusFilter | None:
    """Return the status to filter by; None for an empty text. Raises ValueError."""
    if text not in ("", *get_args(StatusFilter)):
        raise ValueError(f"there is no status {text}")
    return cast(StatusFilter, text) if text else None


def _kind(text: str) -> BroadcastKind | None:
    """Return the kind to filter by; None for an empty text. Raises ValueError."""
    if text not in ("", *BroadcastKind):
        raise ValueError(f"there is no kind {text}")
    return BroadcastKind(text) if text else None


def _time(text: str) -> datetime | None:
    """Return the time of a field `datetime-local`, which is in UTC. Raises ValueError."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text} is not a date and a time, such as 2026-02-19T10:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@api.get("/broadcasts")
def broadcasts() -> str:
    """Return the list of broadcasts, with filters and search."""
    filters = Filters.of_request()
    with replica_session() as session:
        found = admin_broadcasts.broadcasts(session, filters.query(), _page_request())
        missed = filters.status if filters.q and not found.items else ""
        if missed:
            # A person who telephones often asks about a request that has ended, and the preset filter shows only open
            # requests.
            filters = replace(filters, status="")
            found = admin_broadcasts.broadcasts(session, filters.query(), _page_request())
    return page(
        "broadcasts.html",
        missed=missed,
        broadcasts=found.items,
        more=filters.address(cursor=found.next_cursor) if found.next_cursor else None,
        filters=filters,
        statuses=list(BroadcastStatus),
        kinds=list(BroadcastKind),
        vehicle_types=TYPES,
        within=WITHIN,
    )


def _page_request(rows: int = ROWS) -> PageRequest:
    return PageRequest(rows, request.args.get("cursor") or None)


@api.get("/broadcasts/<uuid:broadcast_id>")
def broadcast(broadcast_id: UUID) -> str:
    """Return the page of a broadcast: state, trucks, fleets, timeline, levers, and the moment of the slider."""
    with replica_session() as session:
        found = broadcast_queries.find(session, broadcast_id, console_session().user)
        if found is None or found.view is None:
            raise Rejected(Code.BROADCAST_NOT_FOUND)
        timeline = broadcast_queries.timeline(session, broadcast_id, console_session().user) or []
        fleets = recipients(
            session, broadcast_id, PageRequest(FLEETS_SHOWN, request.args.get("cursor") or None)
        )
        assert fleets is not None
        history = past_moments.history(session, broadcast_id)
        assert history is not None
        trucks = [UUID(each["id"]) for each in found.view["assignments"]]
        audit = admin_audit.audit(
            session, admin_audit.AuditFilter(subject_ids=(broadcast_id, *trucks)), PageRequest(ROWS, None)
        )
        about = {found.view["customerId"], *(each["transporterId"] for each in fleets.items)}
        about |= {each["transporterId"] for each in found.view["assignments"]}
        about |= {each["actorId"] for each in timeline if each["actorId"]}
        names = people(session, [UUID(each) for each in about])
    moment = history.at(_moment(history) or clock.now())
    actors = {str(each): person.name for each, person in names.items() if person.name}
    return page(
        "broadcast.html",
        broadcast=found.view,
        is_open=found.view["status"] in OPEN,
        timeline=[(entry, wording.timeline_entry(entry, actors)) for entry in timeline],
        fleets=fleets.items,
        more_fleets=fleets.next_cursor,
        audit=audit.items,
        names={str(each): person for each, person in names.items()},
        sentences={str(reason): sentence for reason, sentence in SENTENCES.items()},
        levers=levers_of_broadcast(found.view["status"]),
        end_trip=END_TRIP,
        live=LIVE,
        **_moment_content(history, moment, found.view),
    )


@api.get("/broadcasts/<uuid:broadcast_id>/moment")
def moment(broadcast_id: UUID) -> str:
    """Return the part of the page that shows the broadcast as it was at `?at=`, in milliseconds after its creation."""
    with replica_session() as session:
        history = past_moments.history(session, broadcast_id)
        found = broadcast_queries.find(session, broadcast_id, console_session().user)
    if history is None or found is None or found.view is None:
        raise Rejected(Code.BROADCAST_NOT_FOUND)
    then = history.at(_moment(history) or clock.now())
    return page("moment.html", broadcast=found.view, **_moment_content(history, then, found.view))


def _moment(history: past_moments.History) -> datetime | None:
    try:
        after = float(request.args["at"]) if "at" in request.args else None
        return None if after is None else history.created_at + timedelta(milliseconds=after)
    except (ValueError, OverflowError):
        raise Rejected(Code.VALIDATION_ERROR, "at: milliseconds after the creation") from None


def _moment_content(
    history: past_moments.History, moment: past_moments.Moment, view: dict[str, Any]
) -> dict[str, Any]:
    """Return what the template of a moment needs: the moment, the slider's ends, the scale of distances, and the map."""
    times = history.times
    end = clock.now() if view["status"] in OPEN else times[-1]

    def after(at: datetime) -> int:
        return round((at - history.created_at).total_seconds() * 1000)

    positions = _positions([each.transporter_id for each in moment.fleets])
    return {
        "moment": moment,
        "after": max(0, min(after(moment.at), after(end))),
        "last": max(1, after(end)),
        "ticks": [after(each) for each in times],
        "scale": scale_of(moment),
        "map": map_of(view, moment, positions),
        "states": list(past_moments.FleetState),
    }


def _positions(fleets: list[UUID]) -> dict[UUID, presence.Point]:
    """Return the present positions of these fleets, as far as they are known and Redis answers."""
    try:
        states = presence.states(fleets) if fleets else {}
    except presence.PresenceUnavailable:
        return {}
    return {each: state.position for each, state in states.items() if state.position}


@api.get("/broadcasts/<uuid:broadcast_id>/fleets/<uuid:fleet_id>")
def why(broadcast_id: UUID, fleet_id: UUID) -> str:
    """Return the page that explains why a fleet has an offer of a broadcast, or has none."""
    with replica_session() as session:
        answer = explain(session, broadcast_id, fleet_id, acked([fleet_id]).get(fleet_id))
        found = broadcast_queries.find(session, broadcast_id, console_session().user)
        if answer is None or found is None:
            raise Rejected(Code.BROADCAST_NOT_FOUND)
        names = people(session, [fleet_id])
        fleet = admin_transporters.transporter(session, fleet_id)
    return page(
        "why.html",
        answer=answer.json_dict(),
        broadcast=found.view,
        fleet=fleet,
        fleet_id=fleet_id,
        person=names.get(fleet_id),
        sentences={str(reason): sentence for reason, sentence in SENTENCES.items()},
    )


@api.get("/broadcasts/<uuid:broadcast_id>/fleet")
def find_fleet(broadcast_id: UUID) -> Response | str:
    """Return a redirect to the explanation for the one fleet that matches `?q=`, or a list of all that match."""
    text = request.args.get("q", "").strip()[:100]
    with replica_session() as session:
        found = (
            admin_transporters.transporters(session, text, None, PageRequest(ROWS, None)) if text else None
        )
    items = found.items if found else []
    if len(items) == 1:
        return redirect(f"/console/broadcasts/{broadcast_id}/fleets/{items[0]['id']}", 303)  # type: ignore[return-value]
    return page("find_fleet.html", broadcast_id=broadcast_id, text=text, fleets=items)


# --- fleets ---------------------------------------------------------------------------------------------


@api.get("/fleets")
def fleets() -> str:
    """Return the list of fleets, with their presence."""
    text, online = request.args.get("q", "").strip()[:100], request.args.get("online", "")
    with replica_session() as session:
        found = admin_transporters.transporters(
            session, text or None, {"yes": True, "no": False}.get(online), _page_request()
        )
    more = (
        urlencode({"q": text, "online": online, "cursor": found.next_cursor}) if found.next_cursor else None
    )
    return page(
        "fleets.html", fleets=found.items, text=text, online=online, more=more and f"/console/fleets?{more}"
    )


@api.get("/fleets/<uuid:fleet_id>")
def fleet(fleet_id: UUID) -> str:
    """Return the page of a fleet: presence, trucks, drivers, open offers, last answers."""
    with replica_session() as session:
        found = admin_transporters.transporter(session, fleet_id)
        audit = admin_audit.audit(
            session, admin_audit.AuditFilter(subject_id=fleet_id), PageRequest(ROWS, None)
        )
        relations = relations_of(session, fleet_id, Role.TRANSPORTER, RELATIONS_SHOWN)
        names = people(session, [each.customer_id for each in relations])
    if found is None:
        raise Rejected(Code.NOT_FOUND)
    levers = [each for each in LEVERS_OF_FLEETS if each.is_of(found["isAvailable"])]
    return page("fleet.html", fleet=found, audit=audit.items, levers=levers, relations=relations, names=names)


# --- the system -----------------------------------------------------------------------------------------


@api.get("/queues")
def queues() -> str:
    """Return the page of the queues, with the commands that are parked or fail."""
    with read_engine().connect() as connection:
        return page(
            "queues.html",
            queues=queue_states(connection),
            parked=parked_commands(connection, LISTED_COMMANDS),
            failing=failing_commands(connection, LISTED_COMMANDS),
        )


@api.get("/stuck")
def stuck() -> str:
    """Return the page of everything that is stuck and every check with a finding, with what to do."""
    with replica_session() as session:
        items = admin_stuck.stuck(session)
    return page("stuck.html", items=items, health=current_findings())


@api.get("/audit")
def audit() -> str:
    """Return the page of the audit log."""
    wanted = admin_audit.AuditFilter(
        actor_id=_id(request.args.get("actor")), subject_id=_id(request.args.get("subject"))
    )
    with replica_session() as session:
        found = admin_audit.audit(session, wanted, _page_request())
        names = people(session, [UUID(each["actorId"]) for each in found.items if each["actorId"]])
    address = {name: request.args.get(name, "") for name in ("actor", "subject")}
    more = urlencode({**address, "cursor": found.next_cursor}) if found.next_cursor else None
    return page(
        "audit.html",
        entries=found.items,
        names={str(each): person for each, person in names.items()},
        more=more and f"/console/audit?{more}",
    )


def _id(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Rejected(Code.VALIDATION_ERROR, "actor and subject are ids") from None
