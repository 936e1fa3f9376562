"""The import contracts of setup.cfg hold, and tests share code in tests/support only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.support.sources import ROOT, python_files, syntax


def test_imports_keep_to_their_layers(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(ROOT / "setup.cfg"), no_cache=True, no_logo=True)
    if broken:
        pytest.fail(capsys.readouterr().out, pytrace=False)


def test_tests_and_bench_share_code_in_support_only() -> None:
    forbidden = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in python_files("tests", "bench")
        for module in imported(syntax(path))
        if not may_import(path.relative_to(ROOT).parts, module)
    ]
    assert forbidden == []


@pytest.mark.parametrize(
    ("path", "module", "may"),
    [
        ("tests/races/test_accept.py", "tests.support.world", True),
        ("tests/security/test_tokens.py", "tests.security.bad_tokens", True),
        ("tests/faults/crowd/phone.py", "tests.faults.heard_log", True),
        ("bench/accepts.py", "tests.support.system", True),
        ("bench/accepts.py", "bench.figures", True),
        ("tests/races/test_accept.py", "tests.security.bad_tokens", False),
        ("tests/races/test_accept.py", "tests.races.test_holds", False),
        ("tests/races/test_accept.py", "tests.races.conftest", False),
        ("tests/races/test_accept.py", "tests.conftest", False),
        ("tests/races/test_accept.py", "bench.figures", False),
        ("tests/support/people.py", "tests.security.bad_tokens", False),
        ("bench/accepts.py", "tests.faults.people", False),
    ],
)
def test_the_rule_of_shared_code(path: str, module: str, may: bool) -> None:
    assert may_import(Path(path).parts, module) is may


def may_import(importer: tuple[str, ...], module: str) -> bool:
    """Return whether this file of tests or bench may import this module. `importer`: the parts of the file's path.

    The file may import all modules of the product, tests.support, and the modules of its own folder except test modules
    and conftest.
    """
    top, *rest = module.split(".")
    if top not in ("tests", "bench"):
        return True
    if any(name == "conftest" or name.startswith("test_") for name in rest):
        return False
    if top == "tests" and rest[:1] == ["support"]:
        return True
    return top == importer[0] and (top == "bench" or rest[:1] == [importer[1]])


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield each imported module, and for `from package import name` also `package.name`, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            if node.module != "tests":
                yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
