"""The migrations create exactly the tables that the models describe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Column, MetaData, Table, Text, inspect

from weelo_workers.models import Base
from weelo_workers.models.engine import engine


def differences(metadata: MetaData) -> list[str]:
    """Return how the database at head differs from these tables, such as `add_column: broadcasts.notes`."""
    with engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = [_named(each) for each in _flat(compare_metadata(context, metadata))]
        # Alembic does not compare CHECK constraints.
        for table in metadata.sorted_tables:
            if not inspect(connection).has_table(table.name):
                continue
            there = {each["name"] for each in inspect(connection).get_check_constraints(table.name)}
            wanted = {each.name for each in table.constraints if isinstance(each, CheckConstraint)}
            found += [f"the constraint {name} of {table.name}" for name in sorted(map(str, there ^ wanted))]
    return found


def _flat(differences: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    for each in differences:
        if isinstance(each, tuple):
            yield each
        else:
            yield from each


def _named(difference: tuple[Any, ...]) -> str:
    what, *rest = difference
    if what in ("add_column", "remove_column"):
        _, table, column = rest
        return f"{what}: {table}.{column.name}"
    if what.startswith("modify"):
        _, table, column, *_ = rest
        return f"{what}: {table}.{column}"
    return f"{what}: {rest[0].name}"


def test_the_migrations_make_exactly_what_the_models_describe(migrated: None) -> None:
    assert differences(Base.metadata) == [], "write a migration for these"


def test_a_column_without_a_migration_is_named(migrated: None) -> None:
    """This test proves that the comparison of migrations and models can fail."""
    changed = MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(changed)
    changed.tables["broadcasts"].append_column(Column("fragile", Text()))
    Table("parcels", changed, Column("id", Text()))
    added = set(differences(changed)) - set(differences(Base.metadata))
    assert added == {"add_table: parcels", "add_column: broadcasts.fragile"}
