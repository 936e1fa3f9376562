"""Runs the search on a copy of the program to which a mutant was applied."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weelo_lab.seeds.mutants import MUTANTS, TREE, Mutant
from weelo_workers.runtime import CommandError

_COPIED = ("weelo_workers", "weelo_api", "weelo_client", "weelo_demo", "weelo_lab")
_CELERY = "celeryconfig.py"
_LEFT_OUT = shutil.ignore_patterns("__pycache__")


def named(name: str) -> Mutant:
    """Return the mutant of this name. Raises CommandError."""
    found = {mutant.name: mutant for mutant in MUTANTS}
    if name not in found:
        raise CommandError(f"no mutant {name}; there are {', '.join(found)}")
    return found[name]


@contextmanager
def tree(mutant: Mutant) -> Iterator[Path]:
    """Yield a folder with the mutated packages, which is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="weelo-mutant-") as folder:
        for package in _COPIED:
            shutil.copytree(TREE / package, Path(folder) / package, ignore=_LEFT_OUT)
        shutil.copy(TREE / _CELERY, folder)
        mutant.apply(Path(folder))
        yield Path(folder)


def run(mutant: Mutant, arguments: list[str], *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `weelo lab seeds` with these arguments on a mutated copy, in this folder."""
    with tree(mutant) as copy:
        return subprocess.run(
            # `-P` keeps the current folder, which may contain the original program, out of `sys.path`. PYTHONPATH puts
            # the copy before an original that is installed for development.
            [sys.executable, "-P", "-m", "weelo_workers.entry", "lab", "seeds", *arguments],
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
