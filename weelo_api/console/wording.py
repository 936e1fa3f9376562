"""Words and numbers as the pages show them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from markupsafe import Markup, escape


def plain(name: object) -> str:
    """Return a name of the contract as words: `partially_filled` becomes `partially filled`."""
    return str(name).replace("_", " ")


_ACTIONS = {
    "broadcasts.widen_by_operator": "widen",
    "broadcasts.expire_by_operator": "expire",
    "broadcasts.cancel_by_operator": "cancel",
    "fleet.set_availability_by_operator": "change availability",
    "relations.set_by_operator": "record contract",
    "relations.remove_by_operator": "delete contract",
    "trips.end": "end trip",
    "policies.put": "store policy",
}


def action(command: str, details: Mapping[str, Any] | None = None) -> str:
    """Return a command as words, such as `expire assignment` for `trips.expire_assignment`.

    The command of a lever becomes the lever's name. `details`: the details that the audit log has of the command, such
    as `{"isAvailable": False}`.
    """
    given = details or {}
    if command == "fleet.set_availability_by_operator" and "isAvailable" in given:
        return "put online" if given["isAvailable"] else "put offline"
    if command.startswith("policies.") and "scope" in given:
        if command == "policies.pause":
            return f"{'pause' if given.get('paused') else 'resume'} {given['scope']}"
        return f"store policy {given['scope']}"
    name = _ACTIONS.get(command) or plain(command.rpartition(".")[2])
    return f"{name} as {plain(given['outcome'])}" if command == "trips.end" and "outcome" in given else name


def field(name: str) -> str:
    """Return the name of a field as words: `radiusKm` becomes `radius km`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f" {found[1].lower()}", name)


def short(identifier: UUID | str | None) -> str:
    """Return the first eight characters of an id. They suffice to find the object with the console's search."""
    return str(identifier)[:8] if identifier else "–"


def moment(value: datetime | str | None) -> Markup:
    """Return a time as an element with the time in UTC, which console.js replaces by the time in the reader's zone."""
    if value is None:
        return Markup("–")
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = at.astimezone(UTC)
    iso = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(iso, f"{at:%d %b %H:%M:%S} UTC")


def kilometres(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} km" if value < 100 else f"{value:.0f} km"


def seconds(value: float | None) -> str:
    """Return a duration in its largest fitting unit."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7_200:
        return f"{value / 60:.0f} min"
    return f"{value / 3_600:.1f} h" if value < 172_800 else f"{value / 86_400:.0f} days"


def since(value: datetime | str | None, now: datetime) -> str:
    """Return how long ago a time was."""
    if value is None:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return seconds(max(0.0, (now - at).total_seconds()))


@dataclass(frozen=True, slots=True)
class TimelineWords:
    """An entry of a timeline as words. `from_status`: None if it is the same status. `actor`: None if there is none."""

    subject: str
    transition: str
    from_status: str | None
    to_status: str
    details: tuple[str, ...]
    cause: str
    actor: str | None


def timeline_entry(entry: Mapping[str, Any], names: Mapping[str, str]) -> TimelineWords:
    """Return the words of an entry of a broadcast's timeline. `names`: the actors' names by their ids."""
    before, after, actor_id = entry["fromStatus"], entry["toStatus"], entry["actorId"]
    return TimelineWords(
        plain(entry["subject"]),
        plain(entry["transition"]),
        plain(before) if before and before != after else None,
        plain(after),
        tuple(
            f"{field(name)}: {_detail(value)}"
            for name, value in entry["details"].items()
            if value is not None and value != {}
        ),
        action(entry["cause"]),
        (names.get(actor_id) or short(actor_id)) if actor_id else None,
    )


def _detail(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(name)} {count}" for name, count in value.items())
    return str(value)


def place(value: dict[str, Any]) -> str:
    """Return the address of a place, or its coordinates if it has none."""
    return value.get("address") or f"{value['latitude']:.3f}, {value['longitude']:.3f}"


def vehicles(requested: list[dict[str, Any]]) -> Markup:
    """Return the requested trucks, such as `2 × open 17 Feet`."""
    parts = [f"{each['count']} × {each['vehicleType']} {each['vehicleSubtype']}" for each in requested]
    return escape(", ".join(parts))
