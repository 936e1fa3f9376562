"""The parts of docs/ that are generated from the code. `python -m tests.architecture.documents` writes them.

A generated part stands between `<!-- generated:NAME -->` and `<!-- /generated -->`. A snapshot is a whole file.
test_documents.py compares each with the code. `--breaking` writes nothing: it compares the snapshots of the last commit
with the code, prints the changes that break clients, and exits with 1 if there are any.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from ops.generate.alerts import alerts
from ops.generate.pace import Pace
from tests.architecture import api, compose
from tests.architecture.breaking import breaking_changes
from tests.support.metric_list import all_metrics
from tests.support.sources import ROOT
from weelo_api.websocket.close_codes import CloseCode
from weelo_workers.contracts.json_schema import DescribedEnum
from weelo_workers.contracts.reasons import CustomerReason, ProviderReason, SystemReason
from weelo_workers.contracts.statuses import (
    AssignmentStatus,
    BroadcastStatus,
    EndedBecause,
    ExpiredBecause,
    FilledBecause,
    HoldStatus,
    NotOfferedBecause,
    OfferAnswer,
    PassedOverBecause,
    TripCancelledBecause,
    TruckRequestStatus,
    UnfilledBecause,
)
from weelo_workers.lifecycles import assignment, broadcast, hold, mailbox, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle
from weelo_workers.lifecycles.parties import PARTIES
from weelo_workers.messaging import retention
from weelo_workers.metrics.listing import LABELS
from weelo_workers.models import Base
from weelo_workers.person.columns import TABLES
from weelo_workers.person.fields import PERSONAL
from weelo_workers.settings import Settings

LIFECYCLES: dict[str, tuple[Lifecycle, type[StrEnum]]] = {
    "broadcast": (broadcast.LIFECYCLE, BroadcastStatus),
    "truck_request": (truck_request.LIFECYCLE, TruckRequestStatus),
    "hold": (hold.LIFECYCLE, HoldStatus),
    "assignment": (assignment.LIFECYCLE, AssignmentStatus),
    "mailbox": (mailbox.LIFECYCLE, mailbox.MailboxState),
}
WITH_PARTIES = ("broadcast", "truck_request", "hold", "assignment")
"""The lifecycles whose transitions are made by users and timers. Only programs make the transitions of mailbox rows."""

BLOCK = re.compile(r"<!-- generated:([\w-]+) -->\n.*?<!-- /generated -->", re.DOTALL)


def generated(name: str) -> str:
    """Return the generated block of this name, with the two markers around it."""
    return f"<!-- generated:{name} -->\n{_BLOCKS[name]()}\n<!-- /generated -->"


def pages() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


def names() -> set[str]:
    """Return the names of all generated blocks. Each must be on a page."""
    return set(_BLOCKS)


SNAPSHOTS: dict[str, Callable[[], dict[str, Any]]] = {
    "openapi.json": api.openapi,
    "asyncapi.json": api.asyncapi,
}
"""By name of a file in docs/ that consists of one generated document: the function that returns the document."""


def snapshot(name: str) -> dict[str, Any]:
    """Return the document in the file."""
    document: dict[str, Any] = json.loads((ROOT / "docs" / name).read_text())
    return document


def without_version(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without the version of the software, which changes with each release."""
    return {**document, "info": {**document["info"], "version": ""}}


def breaking() -> list[str]:
    """Return the changes since the last commit that break clients. Snapshots that were never committed are ignored."""
    found = []
    for name, document in SNAPSHOTS.items():
        last = subprocess.run(
            ["git", "show", f"HEAD:./docs/{name}"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if last.returncode == 0:
            found += [f"{name}: {change}" for change in breaking_changes(json.loads(last.stdout), document())]
    return found


def _write_snapshots() -> list[Path]:
    changed = []
    for name, document in SNAPSHOTS.items():
        path = ROOT / "docs" / name
        if not path.exists() or without_version(snapshot(name)) != without_version(document()):
            path.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
            changed.append(path)
    return changed


def write() -> list[Path]:
    """Bring the snapshots and the generated blocks of all pages up to date. Returns the files that have changed."""
    changed = _write_snapshots()
    for page in pages():
        before = page.read_text()
        after = BLOCK.sub(lambda block: generated(block[1]), before)
        if after != before:
            page.write_text(after)
            changed.append(page)
    return changed


# --- lifecycles -----------------------------------------------------------------------------------------


def _lifecycle(name: str) -> str:
    """Return the lifecycle's transitions as a Markdown table, followed by a Mermaid diagram of them."""
    lifecycle, states = LIFECYCLES[name]
    actors = any(transition.by for transition in lifecycle.transitions)
    rows = [
        f"| `{transition.name}` | {_states(state for state in states if state in transition.when)} | `{transition.to}` |"
        + (f" {', '.join(transition.by)} |" if actors else "")
        for transition in lifecycle.transitions
    ]
    return "\n".join(
        [
            f"Initial state: `{lifecycle.initial}`. Final states: {_states(s for s in states if s in lifecycle.final)}.",
            "",
            "| transition | from | to |" + (" made by |" if actors else ""),
            "|---|---|---|" + ("---|" if actors else ""),
            *rows,
            "",
            "<details markdown><summary>The same as a Mermaid diagram</summary>",
            "",
            f"```mermaid\n{lifecycle.mermaid()}\n```",
            "",
            "</details>",
        ]
    )


def _ways_out(name: str) -> str:
    """Return a table of the transitions that each party can make from each state that is not final."""
    lifecycle, states = LIFECYCLES[name]
    rows = [
        f"| `{state}` | "
        + " | ".join(
            ", ".join(
                f"`{transition.name}`"
                for transition in lifecycle.transitions
                if state in transition.when and party in transition.by
            )
            for party in PARTIES
        )
        + " |"
        for state in states
        if state not in lifecycle.final
    ]
    return "\n".join([f"| state | {' | '.join(PARTIES)} |", "|---|" + "---|" * len(PARTIES), *rows])


def _states(states: Any) -> str:
    return ", ".join(f"`{state}`" for state in states)


# --- configuration --------------------------------------------------------------------------------------


def _settings() -> str:
    rows = [
        f"| `{name.upper()}` | {_default(field.default)} | {_allowed(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _default(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return f"`{','.join(each if isinstance(each, str) else f'{each:g}' for each in value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    """Return the text of the column "allowed": literal values or numeric limits, if the field's type has any."""
    for each in (field.annotation, *get_args(field.annotation)):
        if get_origin(each) is Literal:
            return ", ".join(f"`{value}`" for value in get_args(each))
    constraints = _constraints(field)
    low = next((f"from {c.ge:,}" for c in constraints if isinstance(c, Ge)), "") or next(
        (f"more than {c.gt:,}" for c in constraints if isinstance(c, Gt)), ""
    )
    high = next((f"up to {c.le:,}" for c in constraints if isinstance(c, Le)), "")
    types = (field.annotation, *get_args(field.annotation))
    whole = " (whole numbers)" if any(getattr(each, "__origin__", each) is int for each in types) else ""
    return f"{low} {high}{whole}".strip()


def _constraints(field: FieldInfo) -> list[Any]:
    """Return the constraints of a field, including those of the members of a union (`Annotated[int, …] | None`)."""
    found = list(field.metadata)
    for member in get_args(field.annotation):
        for each in getattr(member, "__metadata__", ()):
            found += getattr(each, "metadata", [each])
    return found


def _compose() -> str:
    """Return the variables that docker-compose.yml reads from `.env`, and the settings that it passes on or sets."""
    asked: dict[str, str] = {}
    for found in compose.VARIABLE.finditer(compose.text()):
        # Settings are left out, because another table lists them. Only the settings that Compose requires are in both
        # tables.
        if found["name"].lower() in Settings.model_fields and found["operator"] != ":?":
            continue
        default = {":?": "required", ":-": f"`{found['rest']}`"}.get(found["operator"] or "", "–")
        asked.setdefault(found["name"], default)
    fixed: dict[str, str] = {}
    passed: set[str] = set()
    for service in compose.own_services().values():
        for name, value in service["environment"].items():
            if value is None:
                passed.add(name)
            elif "$" not in str(value) and value != "":
                fixed[name] = str(value)
    own = sorted(passed - {name.upper() for name in Settings.model_fields})
    lines = ["| in `.env` | default |", "|---|---|"]
    lines += [f"| `{name}` | {default} |" for name, default in asked.items()]
    lines += [f"| `{name}` | – |" for name in own if name not in asked]
    settings = [name.upper() for name in Settings.model_fields if name.upper() in passed]
    lines += ["", f"Settings that `.env` may contain: {', '.join(f'`{name}`' for name in settings)}."]
    lines += [
        "",
        f"Settings with a fixed value: {', '.join(f'`{n}={v}`' for n, v in sorted(fixed.items()))}.",
    ]
    return "\n".join(lines)


# --- reasons --------------------------------------------------------------------------------------------

REASONS: dict[str, type[DescribedEnum]] = {
    "`reasonCode` of drivers and transporters": ProviderReason,
    "`reasonCode` of customers": CustomerReason,
    "`reasonCode` of the system": SystemReason,
    "`reason` of `booking_fully_filled`": FilledBecause,
    "`reason` of `booking_cancelled`": EndedBecause,
    "`reason` of `booking_expired`": ExpiredBecause,
    "`reason` of `no_vehicles_available`": UnfilledBecause,
    "`reason` of `trip_cancelled`": TripCancelledBecause,
    "`reason` of `GET /broadcasts/{id}/offers`": PassedOverBecause,
    "`reason` of `GET /broadcasts/{id}/offers/{transporterId}`, besides those": NotOfferedBecause,
    "`answer` of `GET /broadcasts/{id}/offers`": OfferAnswer,
}


def _reasons() -> str:
    rows = [
        f"| {'' if number else where} | `{member.value}` | {member.meaning} |"
        for where, enum in REASONS.items()
        for number, member in enumerate(enum)
    ]
    return "\n".join(["| field | value | meaning |", "|---|---|---|", *rows])


# --- close codes ----------------------------------------------------------------------------------------


def _close_codes() -> str:
    rows = [f"| {code.value} | {code.meaning} | {code.remedy} |" for code in CloseCode]
    return "\n".join(["| close code | when | what to do |", "|---|---|---|", *rows])


# --- alerts and metrics ----------------------------------------------------------------------------------


def _alerts() -> str:
    """Return a table of the alerts, with the time that each one waits, and the reason for that time."""
    rows = [
        f"| [{each.name}](#{each.anchor}){f' ({each.burn})' if each.burn else ''} | {each.severity}"
        f" | {each.wait:g} s | {each.why_wait} |"
        for each in alerts(Pace())
    ]
    return "\n".join(["| alert | severity | waits | why so long |", "|---|---|---|---|", *rows])


def _metrics() -> str:
    rows = [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{label}`' for label in each.labels) or '–'} | {each.help} |"
        for each in all_metrics()
    ]
    return "\n".join(["| metric | kind | labels | meaning |", "|---|---|---|---|", *rows])


def _metric_labels() -> str:
    used = {label for each in all_metrics() for label in each.labels}
    rows = [f"| `{label}` | {LABELS[label]} |" for label in sorted(used)]
    return "\n".join(["| label | values |", "|---|---|", *rows])


# --- retention and personal data --------------------------------------------------------------------------


def parents() -> dict[str, str]:
    """Return a dict from each table to the table from which deletions cascade to it (ON DELETE CASCADE).

    If deletions cascade from several tables, the first of them in alphabetical order is returned.
    """
    return {
        table.name: min(owners)
        for table in Base.metadata.sorted_tables
        if (owners := {key.column.table.name for key in table.foreign_keys if key.ondelete == "CASCADE"})
    }


def _retention() -> str:
    """Return the table of how long the rows of each table are kept."""
    lines = ["| table | kept | which |", "|---|---|---|"]
    of_parent = parents()
    for table in sorted(Base.metadata.tables):
        rules = [rule for rule in (*retention.AGING, retention.HISTORY) if rule.table == table]
        for rule in rules:
            kept = (
                "`HISTORY_RETENTION_DAYS` (0: for ever)"
                if rule is retention.HISTORY
                else "`EVENT_RETENTION_DAYS`"
            )
            lines.append(f"| `{table}` | {kept} | {rule.which} |")
        if not rules:
            kept = f"with its row of `{of_parent[table]}`" if table in of_parent else retention.KEPT[table]
            how_long, _, which = kept.partition(": ")
            lines.append(f"| `{table}` | {how_long} | {which} |")
    return "\n".join(lines)


def _personal_columns() -> str:
    """Return the table of all columns with personal data, and what an erasure does to them."""
    lines = ["| table | column | after an erasure |", "|---|---|---|"]
    for table, rules in sorted(TABLES.items()):
        if rules.rows_deleted:
            lines.append(f"| `{table}` | all | the row is deleted |")
            continue
        lines += [f"| `{table}` | `{column}` | {what.text} |" for column, what in rules.replaced.items()]
        lines += [
            f"| `{table}` | `{column}` | JSON ({text}): as below |" for column, text in rules.json.items()
        ]
    return "\n".join(lines)


def _personal_fields() -> str:
    """Return the table of all fields of stored JSON with personal data, and what an erasure does to them."""
    lines = ["| object | field | after an erasure |", "|---|---|---|"]
    for model, fields in PERSONAL.items():
        lines += [
            f"| `{model.__name__}` | `{to_camel(name)}` | {what.text} |" for name, what in fields.items()
        ]
    return "\n".join(lines)


_BLOCKS: dict[str, Callable[[], str]] = {
    "metrics": _metrics,
    "metric-labels": _metric_labels,
    "settings": _settings,
    "alerts": _alerts,
    "compose": _compose,
    "close-codes": _close_codes,
    "reasons": _reasons,
    "retention": _retention,
    "personal-columns": _personal_columns,
    "personal-fields": _personal_fields,
    **{f"lifecycle-{name}": lambda name=name: _lifecycle(name) for name in LIFECYCLES},  # type: ignore[misc]
    **{f"ways-out-{name}": lambda name=name: _ways_out(name) for name in WITH_PARTIES},  # type: ignore[misc]
}

if __name__ == "__main__":
    if sys.argv[1:] == ["--breaking"]:
        _changes = breaking()
        sys.stdout.write("".join(f"{change}\n" for change in _changes))
        sys.exit(bool(_changes))
    for _page in write():
        sys.stdout.write(f"updated {_page.relative_to(ROOT)}\n")
