"""Every column of every table, and every field of stored JSON, is classified as personal or not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from tests.support.sources import import_all_contracts
from weelo_workers.contracts.broadcasts import NewBooking, NewOrder
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.event import AboutBroadcast, Event
from weelo_workers.contracts.results import RESULTS
from weelo_workers.models import Base
from weelo_workers.person import scrubbing
from weelo_workers.person.columns import TABLES
from weelo_workers.person.fields import PERSON_OF, PERSONAL, unclassified
from weelo_workers.person.rows import COMMANDS_THAT_FOLLOWED, PARTS, Part

import_all_contracts()

STORED: tuple[type[BaseModel], ...] = (
    *REGISTRY.values(),
    *Event.REGISTRY.values(),
    *RESULTS.values(),
    NewBooking,
    NewOrder,
)
MODELS = {model.__name__: model for model in STORED}


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_every_column_is_classified_once(table: str) -> None:
    rules = TABLES[table]
    named = [*rules.kept, *rules.replaced, *rules.json]
    assert sorted(named) == sorted(Base.metadata.tables[table].columns.keys())


def test_no_other_table_is_classified() -> None:
    assert set(TABLES) == set(Base.metadata.tables)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_field_of_stored_json_is_classified(name: str) -> None:
    assert list(unclassified(MODELS[name])) == []


def test_a_new_field_is_not_classified_by_itself() -> None:
    class Nested(BaseModel):
        landmark: str | None = None

    class Shown(AboutBroadcast, shared=True):
        places: list[Nested]
        height_m: float
        note_of_the_gate: str

    assert list(unclassified(Shown)) == [
        "Nested.landmark",
        "Shown.height_m",
        "Shown.note_of_the_gate",
    ]


def test_every_entry_names_a_field_that_exists() -> None:
    for entries in (PERSONAL.items(), ((model, [name]) for model, name in PERSON_OF.items())):
        for model, names in entries:
            assert set(names) <= set(model.model_fields), model.__name__


def test_every_column_of_json_has_a_rule() -> None:
    columns = {(table, column) for table, rules in TABLES.items() for column in rules.json}
    assert columns == set(scrubbing._JSON)


def test_columns_of_json_that_are_kept_contain_ids_and_words_of_the_program() -> None:
    kept = {
        f"{table.name}.{column.key}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, JSONB) and column.key in TABLES[table.name].kept
    }
    assert kept == {
        "assignments.replaced_drivers",  # contains ids of drivers
        "audit.details",  # contains ids, numbers and codes
        "broadcasts.policy_settings",  # contains the numbers of a policy
        "erasures.changed",  # contains the number of changed rows for each table
        "erasures.cursor",  # contains ids, times and numbers
        "erasures.request_ids",  # is set to null when the erasure ends
        "policy_versions.area",  # contains the area where a policy applies, which identifies no person
        "policy_versions.settings",  # contains the numbers of a policy
        "webhooks.events",  # contains names of events
        "webhooks.old_secrets",  # contains versions and times, but no secret
    }


ABOUT_NO_PERSON = {
    "console_sign_outs",
    "beat_heartbeats",
    "check_results",
    "check_runs",
    "policy_scopes",
    "policy_versions",
}
"""Tables about no person: random ids of sessions, policies, and the health of the system. Results of checks contain only rows' ids."""


def test_the_rows_of_a_person_are_found_in_every_table() -> None:
    # The table `replays` needs no part of its own: its rows contain only the id of a command, by which they are found.
    assert {part.table.name for part in PARTS} == set(TABLES) - {"replays"} - ABOUT_NO_PERSON


@pytest.mark.parametrize("part", [*PARTS, COMMANDS_THAT_FOLLOWED], ids=lambda part: part.name)
def test_the_key_of_a_part_is_unique(part: Part) -> None:
    """An erasure reads rows again by their keys. If two rows had one key, a row of another user could be erased."""
    key = {column.key for column in part.key}
    unique = [set(part.table.primary_key.columns.keys())] + [
        set(constraint.columns.keys())
        for constraint in part.table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    assert any(columns <= key for columns in unique)


@pytest.mark.parametrize("value", [None, "a text", 28.6139, 3, {"a": 1}])
def test_replacing_a_second_time_changes_nothing(value: Any) -> None:
    for rules in TABLES.values():
        for replacement in rules.replaced.values():
            try:
                once = replacement(value)
            except TypeError:  # this replacement is for values of another type
                continue
            assert replacement(once) == once
