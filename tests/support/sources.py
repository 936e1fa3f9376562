"""The repository as text and syntax trees, for tests of its structure."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import weelo_workers.contracts

ROOT = Path(__file__).parents[2]
DOMAINS = (
    "broadcasts",
    "offers",
    "trips",
    "fleet",
    "notifications",
    "webhooks",
    "person",
    "relations",
    "policies",
)


def is_of_the_sandbox(model: type) -> bool:
    """Return whether this model belongs to a route that only a sandbox has. tests/sandbox tests these routes."""
    return model.__module__.startswith("weelo_api.sandbox")


def import_all_contracts() -> None:
    """Import every contract module, so that the registries of commands and events are complete."""
    for module in iter_modules(weelo_workers.contracts.__path__):
        import_module(f"weelo_workers.contracts.{module.name}")


def setup_cfg() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@lru_cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def python_files(*places: str) -> Iterator[Path]:
    """Yield Python files. Each of `places` is the path of a file, or of a folder whose files are yielded."""
    for place in places:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def handler_files() -> list[Path]:
    """Return the files in the domains' folders that register a handler. The other files there are shared by handlers."""
    folders = [f"weelo_workers/{domain}" for domain in DOMAINS]
    return [path for path in python_files(*folders) if any(True for _ in handled_commands(path))]


def handled_commands(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (command class, function) for each `@handles(Command)` in a file."""
    for function in public_functions(path, private_too=True):
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and name_of(decorator.func) == "handles":
                yield name_of(decorator.args[0]), function.name


def public_functions(path: Path, *, private_too: bool = False) -> list[ast.FunctionDef]:
    return [
        node
        for node in syntax(path).body
        if isinstance(node, ast.FunctionDef) and (private_too or not node.name.startswith("_"))
    ]


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(syntax(path)) if isinstance(node, ast.Call))


def imported_names(path: Path) -> set[str]:
    """Return the names that a file imports from other modules."""
    return {
        alias.name
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def name_of(expression: ast.expr) -> str:
    """Return `handles` for `handles` and for `bus.handles`, and an empty string for an expression without a name."""
    match expression:
        case ast.Name(name):
            return name
        case ast.Attribute(_, name):
            return name
        case _:
            return ""
