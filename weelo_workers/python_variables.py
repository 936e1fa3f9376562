"""Chooses the PYTHON… variables that the system's processes inherit. Imports no module that PYTHONPATH could replace."""

import os
from collections.abc import Mapping

HARMLESS = frozenset(
    (
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPYCACHEPREFIX",
        "PYTHONFAULTHANDLER",
        "PYTHONUNBUFFERED",
        "PYTHONUTF8",
        "PYTHONIOENCODING",
    )
)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib imports more)


def harmless(given: Mapping[str, str]) -> dict[str, str]:
    """Return the PYTHON… variables of `given` that change only the form of a program's output, and not its behaviour.

    If PYTHONPATH names this package's directory, that entry is kept: every process has to run the same copy of the code.
    """
    found = {name: value for name, value in given.items() if name in HARMLESS}
    if ROOT in (os.path.abspath(entry) for entry in given.get("PYTHONPATH", "").split(os.pathsep) if entry):  # noqa: PTH100
        found["PYTHONPATH"] = ROOT
    return found
