"""The reckoning: what must be true when all has come to rest. Each count has a figure, and names what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tests.faults.ledger import Entry
from tests.faults.people import Person
from tests.faults.stage import Stage
from tests.faults.town import Town
from tests.model.truths import TRUTHS, WHEN_AT_REST
from tests.system import doctor
from tests.waiting import eventually
from weelo_api.gateway import IN_DOUBT

Wrong = Iterator[str]


@dataclass(slots=True)
class Count:
    """`figure`: what was looked at, in words. `wrong`: empty, or the ids of what must not be."""

    sentence: str
    figure: str
    wrong: list[str] = field(default_factory=list)


class Seen:
    """What everybody says in the end: the API to each caller, the sockets, the rows."""

    def __init__(self, stage: Stage, town: Town) -> None:
        self.stage, self.town, self.ledger = stage, town, town.ledger
        self.people: dict[str, Person] = {person.id: person for person in town.people}

    @cached_property
    def outcomes(self) -> dict[str, dict[str, Any] | None]:
        """By command, what `GET /commands/{id}` says to its caller; None: there is no such command."""

        def ask(entry: Entry) -> Any:
            return self.town.read(self.people[entry.who], f"/commands/{entry.command_id}")

        by_id = {entry.command_id: entry for entry in self.ledger.entries}
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(by_id, pool.map(ask, by_id.values()), strict=True))

    @cached_property
    def logs(self) -> dict[str, list[dict[str, Any]]]:
        """By user, what `GET /events` says."""

        def pages(person: Person) -> list[dict[str, Any]]:
            lines: list[dict[str, Any]] = []
            while page := self.town.read(person, f"/events?after={len(lines)}&limit=500")["items"]:
                lines += page
            return lines

        with ThreadPoolExecutor(8) as pool:
            return dict(zip(self.people, pool.map(pages, self.people.values()), strict=True))

    @cached_property
    def told(self) -> dict[str, list[dict[str, Any]]]:
        """By command, what the callers' logs say became of it."""
        said: dict[str, list[dict[str, Any]]] = {}
        for lines in self.logs.values():
            for line in lines:
                if line["event"] == "command_settled":
                    said.setdefault(line["data"]["commandId"], []).append(line["data"])
        return said

    @cached_property
    def heard(self) -> dict[str, list[dict[str, Any]]]:
        """By command, what came over the callers' sockets."""
        said: dict[str, list[dict[str, Any]]] = {}
        for ear in self.ledger.ears.values():
            for frame in ear.frames:
                if frame.event == "command_settled":
                    said.setdefault(frame.data["commandId"], []).append(frame.data)
        return said

    def everybody_has_heard_all(self) -> bool:
        behind = {
            who: (len(self.ledger.ear(who).frames), len(lines))
            for who, lines in self.logs.items()
            if len(self.ledger.ear(who).frames) < len(lines)
        }
        assert not behind, f"heard, of how many lines: {behind}"
        return True


Counting = Callable[[Seen], tuple[str, list[str]]]
COUNTS: dict[str, Counting] = {}


def counts(sentence: str) -> Callable[[Counting], Counting]:
    def register(counting: Counting) -> Counting:
        COUNTS[sentence] = counting
        return counting

    return register


# --- promises ---------------------------------------------------------------------------------------------


@counts("every command that was accepted is settled")
def all_settled(seen: Seen) -> tuple[str, list[str]]:
    promised = {entry.command_id: entry for entry in seen.ledger.entries if entry.promised}
    wrong = [
        f"{entry.what} {command}: {outcome and outcome['status']}"
        for command, entry in promised.items()
        if (outcome := seen.outcomes[command]) is None or outcome["status"] == "pending"
    ]
    return f"{len(promised)} accepted", wrong


@counts("each of them once: one line in its caller's log, one frame on its caller's socket")
def settled_once(seen: Seen) -> tuple[str, list[str]]:
    recorded = [command for command, outcome in seen.outcomes.items() if outcome is not None]
    wrong = [
        f"{command}: {len(seen.told.get(command, ()))} lines, {len(seen.heard.get(command, ()))} frames"
        for command in recorded
        if len(seen.told.get(command, ())) != 1 or len(seen.heard.get(command, ())) != 1
    ]
    return f"{len(recorded)} recorded", wrong


@counts("its outcome is the same over HTTP, socket and log, and in the answer that was waited for")
def same_everywhere(seen: Seen) -> tuple[str, list[str]]:
    compared, wrong = 0, []
    for entry in {entry.command_id: entry for entry in seen.ledger.entries}.values():
        outcome = seen.outcomes[entry.command_id]
        if outcome is None or outcome["status"] == "pending":
            continue
        versions = [outcome, *seen.told.get(entry.command_id, ()), *seen.heard.get(entry.command_id, ())]
        compared += len(versions) - 1
        if len({_comparable(version) for version in versions}) > 1:
            wrong.append(f"{entry.what} {entry.command_id}: {versions}")
    for entry in seen.ledger.entries:
        outcome = seen.outcomes[entry.command_id]
        for status, body in entry.outcomes:
            compared += 1
            said = outcome and (outcome.get("result", {}) if "error" not in outcome else outcome["error"])
            if outcome is None or outcome["httpStatus"] != status or said != body:
                wrong.append(f"{entry.what} {entry.command_id}: {status} {body}, and later {outcome}")
    return f"{compared} comparisons", wrong


def _comparable(outcome: dict[str, Any]) -> str:
    """Whether it has been asked for again meanwhile is no part of it."""
    return json.dumps({key: value for key, value in outcome.items() if key != "replayed"}, sort_keys=True)


@counts("nothing that was refused, or is the answer of an earlier command, has an effect")
def refused_without_effect(seen: Seen) -> tuple[str, list[str]]:
    refused = seen.stage.rows("SELECT count(*) AS n FROM mailbox WHERE status = 'rejected' OR replayed")[0].n
    acted = seen.stage.rows(
        "SELECT DISTINCT m.id, m.name FROM mailbox m JOIN transitions x ON x.command_id = m.id"
        " WHERE m.status = 'rejected' OR m.replayed"
    )
    return f"{refused} refused or repeated", [f"{row.name} {row.id}" for row in acted]


@counts("nothing that was turned away (503, 429, 400) was recorded")
def turned_away_unrecorded(seen: Seen) -> tuple[str, list[str]]:
    answered = {entry.command_id for entry in seen.ledger.entries if not entry.turned_away}
    away = [e for e in seen.ledger.entries if e.turned_away and e.command_id not in answered]
    wrong = [
        f"{entry.what} {entry.command_id}: {[answer.status for answer in entry.answers]}, and it is {outcome['status']}"
        for entry in away
        if (outcome := seen.outcomes[entry.command_id]) is not None
    ]
    return f"{len(away)} turned away", wrong


@counts("every answer is one of the contract's")
def known_answers(seen: Seen) -> tuple[str, list[str]]:
    answers = [(entry, answer) for entry in seen.ledger.entries for answer in entry.answers]
    statuses = Counter(answer.status or "none" for _, answer in answers)
    wrong = [
        f"{e.what} {e.command_id}: {a.status} {a.body}"
        for e, a in answers
        if a.status in (400, 422) or (a.status == 500 and a.body.get("detail") != IN_DOUBT)
    ]
    return ", ".join(f"{n} × {status}" for status, n in sorted(statuses.items(), key=str)), wrong


@counts("no command takes effect twice")
def no_double_effect(seen: Seen) -> tuple[str, list[str]]:
    moves = seen.stage.rows("SELECT count(*) AS n FROM transitions")[0].n
    twice = seen.stage.rows(
        "SELECT cause, command_id, subject_id, name FROM transitions GROUP BY 1, 2, 3, 4 HAVING count(*) > 1"
    )
    return f"{moves} transitions", [
        f"{row.cause} {row.command_id}: {row.name} {row.subject_id}" for row in twice
    ]


# --- what people heard ------------------------------------------------------------------------------------


@counts("everybody has heard their whole log, in order, without gap or repeat")
def heard_all(seen: Seen) -> tuple[str, list[str]]:
    wrong: list[str] = []
    try:
        eventually(seen.everybody_has_heard_all, within=30, every=0.2)
    except AssertionError as behind:
        wrong.append(str(behind))
    for who, lines in seen.logs.items():
        ear = seen.ledger.ear(who)
        wrong += [f"{who}: {stray}" for stray in ear.strays]
        if [line["seq"] for line in lines] != list(range(1, len(lines) + 1)):
            wrong.append(f"{who}: the log has gaps")
        for line, frame in zip(lines, ear.frames, strict=False):
            if (line["id"], line["seq"], line["data"]) != (frame.id, frame.seq, frame.data):
                wrong.append(f"{who}: line {line['seq']} was heard as {frame.event} {frame.id}")
    return (
        f"{sum(len(ear.frames) for ear in seen.ledger.ears.values())} frames, {len(seen.logs)} people",
        wrong,
    )


# --- rows -------------------------------------------------------------------------------------------------


def _truth(query: str) -> Counting:
    def counting(seen: Seen) -> tuple[str, list[str]]:
        return "rows", [str(dict(row._mapping)) for row in seen.stage.rows(query)]

    return counting


COUNTS |= {sentence: _truth(query) for sentence, query in (TRUTHS | WHEN_AT_REST).items()}


@counts("the doctor finds nothing")
def healthy(seen: Seen) -> tuple[str, list[str]]:
    found: list[str] = []

    def nothing() -> bool:
        found[:] = doctor(seen.stage.system)
        return not found

    with suppress(AssertionError):
        eventually(nothing, within=30, every=1.0)
    return "`weelo doctor`", found


@counts("the play itself went well")
def nothing_spoiled(seen: Seen) -> tuple[str, list[str]]:
    return f"{len(seen.ledger.entries)} requests", seen.ledger.spoiled


def reckon(stage: Stage, town: Town) -> list[Count]:
    from tests.faults import leftovers, punctuality  # noqa: F401 (they count as well)

    seen = Seen(stage, town)
    eventually(lambda: stage.rows("SELECT 1"), within=10)
    counted = []
    for sentence, counting in COUNTS.items():
        figure, wrong = counting(seen)
        counted.append(Count(sentence, figure, wrong))
    return counted
