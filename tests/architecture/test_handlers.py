"""Each command has one handler: a file with one public function. Command, file and function have the same name.

A handler neither commits nor reads a clock.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.sources import (
    DOMAINS,
    ROOT,
    calls,
    handled_commands,
    handler_files,
    import_all_contracts,
    imported_names,
    name_of,
    public_functions,
    python_files,
)
from weelo_workers.app import load_handlers
from weelo_workers.contracts.command import REGISTRY, is_batched
from weelo_workers.messaging.handlers import registered_handlers

import_all_contracts()
load_handlers()

RULES = ("weelo_workers/lifecycles", "weelo_workers/contracts")
# These two modules of webhooks run after the commit, so they may commit and read clocks. All modules of notifications
# except the handlers may do this as well.
AFTER_THE_COMMIT = {ROOT / "weelo_workers/webhooks/posting.py", ROOT / "weelo_workers/webhooks/sending.py"}
# Only the command line uses these two modules of person, so they may open transactions and read clocks.
OF_THE_COMMAND_LINE = {
    ROOT / "weelo_workers/person/exporting.py",
    ROOT / "weelo_workers/person/submitting.py",
}
INSIDE_A_TRANSACTION = sorted(
    {
        *handler_files(),
        *python_files(*(f"weelo_workers/{domain}" for domain in DOMAINS if domain != "notifications")),
        ROOT / "weelo_workers/broadcast_transitions.py",
        ROOT / "weelo_workers/ownership.py",
    }
    - AFTER_THE_COMMIT
    - OF_THE_COMMAND_LINE
)


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_every_command_has_exactly_one_handler() -> None:
    # A second handler of a command needs no check here, because @handles refuses it.
    assert set(registered_handlers()) == set(REGISTRY)


def test_the_engine_knows_no_command_by_name() -> None:
    """The engine only reads properties that command classes declare. `lint-imports` checks that it imports no such class."""
    for path in python_files("weelo_workers/messaging"):
        assert not [
            name for name in REGISTRY if f'"{name}"' in path.read_text() or f"'{name}'" in path.read_text()
        ]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_command_is_handled_in_the_file_that_has_its_name(name: str) -> None:
    domain, _, command = name.partition(".")
    handler = registered_handlers()[name]
    assert handler.__module__ == f"weelo_workers.{domain}.{command}"
    assert handler.__name__ == command


@pytest.mark.parametrize("path", handler_files(), ids=_id)
def test_a_handler_file_has_one_public_function_which_is_the_handler(path: Path) -> None:
    """The file of a batched command has a second public function, which handles several commands."""
    batches = [f"{path.stem}_in_batches"] if is_batched(f"{path.parent.name}.{path.stem}") else []
    assert [function.name for function in public_functions(path)] == [path.stem, *batches]
    assert [function for _, function in handled_commands(path)] == [path.stem]


@pytest.mark.parametrize("path", handler_files(), ids=_id)
def test_a_handler_has_a_docstring(path: Path) -> None:
    assert all(ast.get_docstring(handler) for handler in public_functions(path))


@pytest.mark.parametrize("path", INSIDE_A_TRANSACTION, ids=_id)
def test_a_handler_neither_begins_nor_ends_a_transaction(path: Path) -> None:
    """The bus opens and ends sessions and transactions."""
    others = {"Session", "begin_nested", "close", "commit", "connect", "engine", "read_engine", "rollback"}
    assert not [ast.unparse(call) for call in calls(path) if name_of(call.func) in others]


@pytest.mark.parametrize("path", INSIDE_A_TRANSACTION, ids=_id)
def test_no_handler_reads_the_settings(path: Path) -> None:
    """Handlers use the policy of the broadcast instead, so processes with different settings decide the same."""
    from_environment = {"Settings", "settings", "environment_policy", "resolved_policy", "getenv"}
    assert not from_environment & imported_names(path)
    assert not [ast.unparse(call) for call in calls(path) if name_of(call.func) in from_environment]


@pytest.mark.parametrize("path", [*INSIDE_A_TRANSACTION, *python_files(*RULES)], ids=_id)
def test_no_handler_and_no_rule_reads_a_clock(path: Path) -> None:
    """Handlers use `uow.now`, the database's time, because the clocks of the workers' machines may differ."""
    clocks = {
        "now",
        "utcnow",
        "today",
        "time",
        "monotonic",
        "clock_timestamp",
        "current_timestamp",
        "statement_timestamp",
    }
    assert not [ast.unparse(call) for call in calls(path) if name_of(call.func) in clocks]
