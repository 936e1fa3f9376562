"""Each `raise` makes a new exception object."""

from __future__ import annotations

import ast

from tests.support.sources import ROOT, name_of, python_files, syntax


def test_no_exception_is_made_once_and_raised_again() -> None:
    """An exception object that is raised again keeps its old traceback, with the frames of all earlier requests."""
    files = list(python_files("weelo_api", "weelo_workers", "weelo_client", "weelo_demo", "weelo_lab"))
    made_once = {
        target.id
        for path in files
        for node in syntax(path).body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    raised_again = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.Raise) and node.exc is not None and not isinstance(node.exc, ast.Call)
        if name_of(node.exc) in made_once
    ]
    assert not raised_again
