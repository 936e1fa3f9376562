"""The migrations create exactly the tables that the models describe."""

from __future__ import annotations

import pytest
from sqlalchemy import CheckConstraint, Column, Index, MetaData, SmallInteger, Table, Text, text

from weelo_workers.models import Base
from weelo_workers.models.engine import engine
from weelo_workers.models.new_migration import schema_differences


def differences(metadata: MetaData) -> list[str]:
    with engine().begin() as connection:
        return schema_differences(connection, metadata)


def changed_models() -> MetaData:
    """Return a copy of the models' tables, which a test may change."""
    changed = MetaData()
    for table in Base.metadata.sorted_tables:
        table.to_metadata(changed)
    return changed


def test_the_migrations_make_exactly_what_the_models_describe(migrated: None) -> None:
    assert differences(Base.metadata) == [], "write a migration for these: `weelo migration NAME`"


def add_column(broadcasts: Table) -> None:
    broadcasts.append_column(Column("fragile", Text()))


def add_table(broadcasts: Table) -> None:
    Table("parcels", broadcasts.metadata, Column("id", Text()))


def change_type(broadcasts: Table) -> None:
    broadcasts.c.version.type = SmallInteger()


def allow_nulls(broadcasts: Table) -> None:
    broadcasts.c.version.nullable = True


def drop_default(broadcasts: Table) -> None:
    broadcasts.c.reoffer_rounds.server_default = None


def change_default(broadcasts: Table) -> None:
    broadcasts.c.reoffer_rounds.server_default = Column(server_default=text("1")).server_default


def change_check(broadcasts: Table) -> None:
    named = "a_broadcast_needs_1_to_50_trucks"
    [old] = [each for each in broadcasts.constraints if each.name == named]
    broadcasts.constraints.remove(old)
    broadcasts.append_constraint(CheckConstraint("trucks_needed BETWEEN 1 AND 60", name=named))


def change_condition(broadcasts: Table) -> None:
    [index] = [each for each in broadcasts.indexes if each.name == "broadcasts_open_by_deadline"]
    index.dialect_options["postgresql"]["where"] = text("status = 'active'")


def add_index(broadcasts: Table) -> None:
    Index("broadcasts_by_goods", broadcasts.c.goods_type)


CHANGES = {
    add_column: "column broadcasts.fragile",
    add_table: "column parcels.id",
    change_type: "column broadcasts.version",
    allow_nulls: "column broadcasts.version",
    drop_default: "column broadcasts.reoffer_rounds",
    change_default: "column broadcasts.reoffer_rounds",
    change_check: "constraint broadcasts.a_broadcast_needs_1_to_50_trucks",
    change_condition: "index broadcasts.broadcasts_open_by_deadline",
    add_index: "index broadcasts.broadcasts_by_goods",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_the_models_without_a_migration_is_named(migrated: None, change: object) -> None:
    """The comparison of migrations and models must find each of these changes."""
    changed = changed_models()
    change(changed.tables["broadcasts"])
    assert [each.partition(": ")[0] for each in differences(changed)] == [CHANGES[change]]
