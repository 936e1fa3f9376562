"""The logged text of a database's error contains no values, because a value may be a name or a telephone number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from weelo_workers.models.engine import connect
from weelo_workers.models.prepared import prepared
from weelo_workers.settings import settings

NAME, PHONE = "Zebulonia", "+91 98765 43210"


@pytest.fixture
def engine(migrated: None) -> Iterator[Engine]:
    made = connect(settings().database_url, pool_size=1)
    yield made
    made.dispose()


@pytest.mark.parametrize("options", [{}, prepared("quote")], ids=["plain", "prepared"])
@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT CAST(:name AS int), :phone", NAME),
        ("SELECT CAST(:name AS int), :phone", f'a "quoted"\n{NAME}'),
        ("SELECT CAST(:name AS jsonb), :phone", f'{{"name": "{NAME}\\u0000"}}'),
        ("SELECT no_such_function(:name, :phone)", NAME),
        ("INSERT INTO users (id, role, name, phone) VALUES (gen_random_uuid(), NULL, :name, :phone)", NAME),
    ],
    ids=["a wrong form", "quotation marks", "JSON", "an unknown function", "a violated constraint"],
)
def test_an_error_of_the_database_quotes_no_value(
    engine: Engine, statement: str, name: str, options: dict[str, str]
) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text(statement).execution_options(**options), {"name": name, "phone": PHONE})
    for logged in (str(failed.value), str(failed.value.orig), repr(failed.value.orig)):
        assert NAME not in logged and PHONE not in logged, logged
