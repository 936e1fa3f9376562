"""Which PYTHON… variables reach the interpreters of the system. Imports nothing that a PYTHONPATH could replace."""

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
    """Return the PYTHON… variables of `given` that change no result.

    The directory of this package stays in PYTHONPATH if it is named there: every process has to run the same copy of the code.
    """
    found = {name: value for name, value in given.items() if name in HARMLESS}
    if ROOT in (os.path.abspath(entry) for entry in given.get("PYTHONPATH", "").split(os.pathsep) if entry):  # noqa: PTH100
        found["PYTHONPATH"] = ROOT
    return found
