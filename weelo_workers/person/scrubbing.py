"""Replaces the personal data of one person in rows and in the JSON of rows. Shapes, ids, times and numbers stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from weelo_workers.contracts.broadcasts import NewBooking, NewOrder
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.delivery import EventEnvelope
from weelo_workers.contracts.event import Event
from weelo_workers.contracts.outcomes import CommandSettled
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import BroadcastKind
from weelo_workers.contracts.wire import Place
from weelo_workers.notifications.catalog import CATALOG
from weelo_workers.person.columns import TABLES
from weelo_workers.person.fields import Field, fields_of, has_personal, person_field, result_model
from weelo_workers.person.replacements import PLATE, plate_of

EVENTS: Mapping[str, type[Event]] = {route.name: event for event, route in CATALOG.items()}
"""The classes of events by their names on the wire."""

EVENTS_WITH_PERSONAL_DATA = tuple(sorted(name for name, event in EVENTS.items() if has_personal(event)))
COMMANDS_WITH_PERSONAL_DATA = tuple(sorted(name for name, each in REGISTRY.items() if has_personal(each)))

Json = Any

_ID_OR_TIME = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"
)


def scrub_row(
    table: str,
    row: Mapping[str, Any],
    person: UUID,
    *,
    is_theirs: bool = True,
    columns: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return the columns of this row that change, with their new values.

    `is_theirs`: True if everything in the row belongs to the person. If False, only the objects in its JSON that contain the
    person's id change, such as a driver's data in a command of the transporter.
    """
    rules = TABLES[table]
    new: dict[str, Any] = {}
    if is_theirs:
        for column, replacement in rules.replaced.items():
            if column not in row or (column == "vehicle_number" and row.get("transporter_id") != person):
                continue  # the vehicle's number on an assignment is the transporter's personal data
            replaces_plate = replacement is PLATE and row[column] is not None
            new[column] = (
                plate_of(row["vehicle_id" if table == "assignments" else "id"])
                if replaces_plate
                else replacement(row[column])
            )
    for column in rules.json:
        if row.get(column) is not None:
            new[column] = _JSON[table, column](row, row[column], person, is_theirs)
    return {
        column: value
        for column, value in new.items()
        if value != row[column] and (columns is None or column in columns)
    }


# --- JSON -----------------------------------------------------------------------------------------------


def scrub(model: type[BaseModel], data: Json, person: UUID, *, is_theirs: bool) -> Json:
    """Return a copy of `data`, a JSON object of this model, in which the person's data are replaced.

    `is_theirs`: True if the whole object belongs to the person. If False, only those objects are changed that contain the
    person's id: `data` itself, or objects within it. In an object of the person, a field that is not in the model
    (because another version has written it) is removed, unless its value is plain (`_is_plain`).
    """
    if not isinstance(data, dict):
        return data
    owner = person_field(model)
    fields = fields_of(model)
    if owner is not None and any(
        data.get(key) == str(person) for key, each in fields.items() if each.name == owner
    ):
        is_theirs = True
    scrubbed = {}
    for key, value in data.items():
        if (field := fields.get(key)) is not None:
            scrubbed[key] = _scrub_field(field, value, data, person, is_theirs)
        elif not is_theirs or _is_plain(value):
            scrubbed[key] = value
    if model is CommandSettled:
        _scrub_outcome(scrubbed, data.get("command", ""), person, is_theirs)
    if model is EventEnvelope:
        scrubbed["data"] = _event_of_class(data.get("event"), data.get("data"), person, is_theirs)
    return scrubbed


def _scrub_field(field: Field, value: Json, data: Mapping[str, Any], person: UUID, is_theirs: bool) -> Json:
    if field.nested is not None:
        inner = partial(scrub, field.nested, person=person, is_theirs=is_theirs)
        return [inner(each) for each in value] if isinstance(value, list) else inner(value)
    if field.replacement is None or not is_theirs:
        return value
    if field.replacement is PLATE and value is not None:
        vehicle = data.get("vehicleId", data.get("id"))
        return plate_of(vehicle) if vehicle else PLATE(value)
    return field.replacement(value)


def _scrub_outcome(data: dict[str, Any], command: str, person: UUID, is_theirs: bool) -> None:
    if "result" in data:
        data["result"] = _result(command, data["result"], person, is_theirs)
    if "error" in data:
        data["error"] = _problem(data["error"], is_theirs)


def _result(command: str, result: Json, person: UUID, is_theirs: bool) -> Json:
    model = result_model(command)
    if model is None:
        return None if is_theirs else result
    return scrub(model, result, person, is_theirs=is_theirs)


def _problem(problem: Json, is_theirs: bool) -> Json:
    """Return problem details with the title of their code as `detail`, because `detail` may name a vehicle or a value."""
    if not is_theirs or not isinstance(problem, dict):
        return problem
    code = Code.__members__.get(str(problem.get("code")))
    fixed = {"type", "title", "code"}
    kept = {key: value for key, value in problem.items() if key in fixed or _is_plain(value)}
    return {**kept, "detail": code.title if code else ""}


def _payload(row: Mapping[str, Any], payload: Json, person: UUID, is_theirs: bool) -> Json:
    command = REGISTRY.get(row["name"])
    if command is None:
        return {} if is_theirs else payload
    return scrub(command, payload, person, is_theirs=is_theirs)


def _event_of_class(name: object, data: Json, person: UUID, is_theirs: bool) -> Json:
    event = Event.REGISTRY.get(str(name))
    return scrub(event, data, person, is_theirs=is_theirs) if event else data


def _event(row: Mapping[str, Any], data: Json, person: UUID, is_theirs: bool) -> Json:
    event = EVENTS.get(row["event"])
    if event is None:
        return data
    return scrub(event, data, person, is_theirs=is_theirs)


def _own(_row: Mapping[str, Any], own: Json, _person: UUID, _is_theirs: bool) -> Json:
    """Return the reader's own fields of an event, with the distance in whole kilometres."""
    km = own.get("pickupDistanceKm")
    return own if km is None else {**own, "pickupDistanceKm": float(round(km))}


def _place(_row: Mapping[str, Any], place: Json, person: UUID, is_theirs: bool) -> Json:
    return scrub(Place, place, person, is_theirs=is_theirs)


def _request(row: Mapping[str, Any], request: Json, person: UUID, is_theirs: bool) -> Json:
    model = NewBooking if row["kind"] == BroadcastKind.BOOKING else NewOrder
    return scrub(model, request, person, is_theirs=is_theirs)


def _details(_row: Mapping[str, Any], details: Json, _person: UUID, is_theirs: bool) -> Json:
    return {key: value for key, value in details.items() if key != "note"} if is_theirs else details


_JSON: Mapping[tuple[str, str], Callable[[Mapping[str, Any], Json, UUID, bool], Json]] = {
    ("broadcasts", "pickup"): _place,
    ("broadcasts", "drop"): _place,
    ("broadcasts", "request"): _request,
    ("transitions", "details"): _details,
    ("events", "data"): _event,
    ("log_lines", "own"): _own,
    ("mailbox", "payload"): _payload,
    ("mailbox", "result"): lambda row, data, person, theirs: _result(row["name"], data, person, theirs),
    ("mailbox", "error"): lambda _row, data, _person, theirs: _problem(data, theirs),
}


def _is_plain(value: Json) -> bool:
    """Return whether the value is an id, a time, a whole number, a truth value or null."""
    if not isinstance(value, str):
        return not isinstance(value, (dict, list, float))
    return bool(_ID_OR_TIME.fullmatch(value))
