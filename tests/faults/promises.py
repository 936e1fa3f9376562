"""Checks of promises: every accepted command has exactly one outcome, and a refused one has no effect."""

from __future__ import annotations

import json
from collections import Counter
from itertools import zip_longest
from typing import Any

from tests.faults.checks import Evidence, check
from tests.faults.heard_log import Line
from tests.support.waiting import eventually
from weelo_api.commands.gateway import IN_DOUBT
from weelo_lab.truths import EFFECTS


@check("every command that was accepted is settled")
def all_settled(seen: Evidence) -> tuple[str, list[str]]:
    promised = {entry.command_id: entry for entry in seen.ledger.entries if entry.promised}
    wrong = [
        f"{entry.what} {command}: {outcome and outcome['status']}"
        for command, entry in promised.items()
        if (outcome := seen.outcomes[command]) is None or outcome["status"] == "pending"
    ]
    return f"{len(promised)} accepted", wrong


@check("every command is settled once: one line in its caller's log, one frame on its caller's socket")
def settled_once(seen: Evidence) -> tuple[str, list[str]]:
    recorded = [command for command, outcome in seen.outcomes.items() if outcome is not None]
    wrong = [
        f"{command}: {len(seen.outcomes_in_logs.get(command, ()))} lines, {len(seen.outcomes_on_sockets.get(command, ()))} frames"
        for command in recorded
        if len(seen.outcomes_in_logs.get(command, ())) != 1
        or len(seen.outcomes_on_sockets.get(command, ())) != 1
    ]
    return f"{len(recorded)} recorded", wrong


@check("its outcome is the same over HTTP, socket and log, and in the response that was waited for")
def same_everywhere(seen: Evidence) -> tuple[str, list[str]]:
    compared, wrong = 0, []
    for entry in {entry.command_id: entry for entry in seen.ledger.entries}.values():
        outcome = seen.outcomes[entry.command_id]
        if outcome is None or outcome["status"] == "pending":
            continue
        versions = [
            outcome,
            *seen.outcomes_in_logs.get(entry.command_id, ()),
            *seen.outcomes_on_sockets.get(entry.command_id, ()),
        ]
        compared += len(versions) - 1
        if len({_comparable(version) for version in versions}) > 1:
            wrong.append(f"{entry.what} {entry.command_id}: {versions}")
    for entry in seen.ledger.entries:
        outcome = seen.outcomes[entry.command_id]
        for status, body in entry.outcomes:
            compared += 1
            content = outcome and (outcome.get("result", {}) if "error" not in outcome else outcome["error"])
            if outcome is None or outcome["httpStatus"] != status or content != body:
                wrong.append(f"{entry.what} {entry.command_id}: {status} {body}, and later {outcome}")
    return f"{compared} comparisons", wrong


def _comparable(outcome: dict[str, Any]) -> str:
    """Return the outcome as text without `replayed`, which changes when the command is repeated."""
    return json.dumps({key: value for key, value in outcome.items() if key != "replayed"}, sort_keys=True)


@check("a command that was refused or replays an earlier outcome has no effect")
def refused_without_effect(seen: Evidence) -> tuple[str, list[str]]:
    refused = seen.fault_system.rows(
        "SELECT count(*) AS n FROM mailbox WHERE status = 'rejected' OR replayed"
    )[0].n
    acted = seen.fault_system.rows(
        EFFECTS["a command that was refused or replays an earlier outcome has no effect"]
    )
    return f"{refused} refused or repeated", [f"{row.name} {row.id}" for row in acted]


@check("no command that was turned away (503, 429, 400) was recorded")
def turned_away_unrecorded(seen: Evidence) -> tuple[str, list[str]]:
    answered = {entry.command_id for entry in seen.ledger.entries if not entry.turned_away}
    refused = [e for e in seen.ledger.entries if e.turned_away and e.command_id not in answered]
    wrong = [
        f"{entry.what} {entry.command_id}: {[answer.status for answer in entry.answers]}, and it is {outcome['status']}"
        for entry in refused
        if (outcome := seen.outcomes[entry.command_id]) is not None
    ]
    return f"{len(refused)} turned away", wrong


@check("every answer is one of the contract's")
def known_answers(seen: Evidence) -> tuple[str, list[str]]:
    answers = [(entry, answer) for entry in seen.ledger.entries for answer in entry.answers]
    statuses = Counter(answer.status or "none" for _, answer in answers)
    wrong = [
        f"{e.what} {e.command_id}: {a.status} {a.body}"
        for e, a in answers
        if a.status in (400, 422) or (a.status == 500 and a.body.get("detail") != IN_DOUBT)
    ]
    return ", ".join(f"{n} × {status}" for status, n in sorted(statuses.items(), key=str)), wrong


@check("no command takes effect twice")
def no_double_effect(seen: Evidence) -> tuple[str, list[str]]:
    moves = seen.fault_system.rows("SELECT count(*) AS n FROM transitions")[0].n
    twice = seen.fault_system.rows(EFFECTS["no command takes effect twice"])
    return f"{moves} transitions", [
        f"{row.cause} {row.command_id}: {row.name} {row.subject_id}" for row in twice
    ]


@check("every user has received their whole log, in order, without gap or repeat")
def heard_all(seen: Evidence) -> tuple[str, list[str]]:
    wrong: list[str] = []
    try:
        eventually(seen.all_frames_received, within=30, every=0.2)
    except AssertionError as behind:
        wrong.append(str(behind))
    for user_id, lines in seen.logs.items():
        log = seen.ledger.heard_log(user_id)
        wrong += [f"{user_id}: {each}" for each in log.wrong]
        if [line["seq"] for line in lines] != list(range(1, len(lines) + 1)):
            wrong.append(f"{user_id}: the log has gaps")
        for seq, (line, received) in enumerate(zip_longest(map(Line.written, lines), log.lines), 1):
            if line != received:
                wrong.append(f"{user_id}: line {seq} is {line} and was received as {received}")
    received_lines = sum(log.newest for log in seen.ledger.ears.values())
    return f"{received_lines} frames, {len(seen.logs)} people", wrong
