"""The life of one broadcast of a run as text: its timeline in the words of the console, and the answers of its fleets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from weelo_api.console import wording
from weelo_lab.customers import Asked
from weelo_lab.demand import Demand
from weelo_lab.faults import Faults
from weelo_lab.people import People
from weelo_lab.run import Played, play_to_the_end
from weelo_workers.contracts.command import Caller
from weelo_workers.contracts.statuses import Role
from weelo_workers.models.engine import autocommit_engine
from weelo_workers.queries import broadcasts
from weelo_workers.queries.offer_explanation import SENTENCES
from weelo_workers.queries.pages import PageRequest
from weelo_workers.queries.recipients import recipients

_READER = Caller(UUID(int=0), Role.ADMIN)
FLEETS_SHOWN = 200


def explain(demand: Demand, seed: int, faults: Faults, number: int) -> str:
    """Play a run in this process, and return the life of its broadcast of this number, counted from 1.

    Raises LabError, and LookupError if there is no such request or if it was rejected.
    """
    played = play_to_the_end(demand, seed, faults, None)
    try:
        return "\n".join(_lines(played, number)) + "\n"
    finally:
        played.lab.finish()


def _lines(played: Played, number: int) -> Iterator[str]:
    requests = played.people.customers.requests
    if number > len(requests):
        raise LookupError(f"there is no request {number}: the demand has {len(requests)}")
    asked = requests[number - 1]
    if asked.broadcast_id is None:
        raise LookupError(f"request {number} has no broadcast: it was rejected, or the run ended before it")
    with Session(autocommit_engine()) as session:
        found = broadcasts.find(session, asked.broadcast_id, _READER)
        timeline = broadcasts.timeline(session, asked.broadcast_id, _READER) or []
        fleets = recipients(session, asked.broadcast_id, PageRequest(FLEETS_SHOWN, None))
    assert found is not None and found.view is not None and fleets is not None
    yield from _head(asked, found.view)
    created_at = datetime.fromisoformat(found.view["createdAt"])
    names = _names(played.people)
    yield ""
    yield "Timeline"
    for entry in timeline:
        yield f"  {_after(entry['at'], created_at):>10}  {_entry(entry, names)}"
    yield ""
    yield "Fleets"
    for each in sorted(fleets.items, key=lambda each: (each["at"], each["transporterId"])):
        yield f"  {_after(each['at'], created_at):>10}  {_fleet(each, names)}"


def _head(asked: Asked, view: dict[str, Any]) -> Iterator[str]:
    plan = asked.plan
    yield f"Request {plan.number}: {plan.trucks} × {plan.kind.type} {plan.kind.subtype} from {plan.town}"
    yield f"broadcast {view['id']}, created {view['createdAt']}, deadline {view['expiresAt']}"
    yield f"{wording.plain(view['status'])}, {view['trucksFilled']} of {view['trucksNeeded']} trucks"


def _entry(entry: dict[str, Any], names: dict[str, str]) -> str:
    words = wording.timeline_entry(entry, names)
    before = f" {words.from_status} →" if words.from_status else ""
    because = words.cause + (f" by {words.actor}" if words.actor else "")
    return f"{words.subject} {words.transition}:{before} {words.to_status}  ({'; '.join([*words.details, because])})"


def _fleet(each: dict[str, Any], names: dict[str, str]) -> str:
    fleet = names.get(each["transporterId"], wording.short(each["transporterId"]))
    where = f"{fleet}, {wording.kilometres(each['pickupDistanceKm'])}, step {each['radiusStep']}"
    if not each["offered"]:
        because = {str(reason): sentence for reason, sentence in SENTENCES.items()}
        return f"{where}: passed over, {because.get(each['reason'], wording.plain(each['reason']))}"
    won = f", {each['trucksWon']} won" if each["trucksWon"] else ""
    return f"{where}: asked, {wording.plain(each['answer'] or 'no answer')}{won}"


def _names(people: People) -> dict[str, str]:
    names = {str(each.plan.transporter_id): f"fleet {each.plan.number}" for each in people.fleets.values()}
    for fleet in people.fleets.values():
        for place, driver in enumerate(fleet.drivers, start=1):
            names[str(driver)] = f"driver {fleet.plan.number}-{place}"
    for asked in people.customers.requests:
        names[str(asked.plan.customer_id)] = f"customer {asked.plan.number}"
    return names


def _after(at: str, created_at: datetime) -> str:
    return f"+{(datetime.fromisoformat(at) - created_at).total_seconds():.3f} s"
