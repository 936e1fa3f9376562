"""PostgreSQL accepts the statements in the runbooks, and `weelo` has the commands in them."""

from __future__ import annotations

import re
import shlex

import click
import pytest
from sqlalchemy import text

from tests.support.sources import ROOT
from tests.support.world import World
from weelo_workers import cli

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
STATEMENT = re.compile(r"^ *```sql\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"`weelo ([a-z][^`]*)`|^ *weelo ([a-z].*)$", re.MULTILINE)
EXAMPLE_ID = "00000000-0000-4000-8000-000000000001"

STATEMENTS = [(page.name, found) for page in PAGES for found in STATEMENT.findall(page.read_text())]
COMMANDS = sorted({one or other for page in PAGES for one, other in COMMAND.findall(page.read_text())})


@pytest.mark.parametrize(
    ("page", "statement"), STATEMENTS, ids=[f"{page}-{n}" for n, (page, _) in enumerate(STATEMENTS)]
)
def test_postgresql_executes_each_statement(world: World, page: str, statement: str) -> None:
    with world.engine.connect() as connection:
        assert connection.execute(text(statement)).all(), page


@pytest.mark.parametrize("line", COMMANDS)
def test_weelo_has_each_command_with_its_options(line: str) -> None:
    words = shlex.split(line.replace("ID", EXAMPLE_ID))
    command: click.Command = cli.weelo
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words.copy(), resilient_parsing=True)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_there_are_statements_and_commands() -> None:
    assert len(STATEMENTS) > 2 and len(COMMANDS) > 5
