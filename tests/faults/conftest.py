"""One running system for the ledger and, after it, for single faults."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fault_system import FaultSystem


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for what is told of a play. `WEELO_REPORT=…` keeps it."""
    folder = Path(os.environ.get("WEELO_REPORT") or tmp_path_factory.mktemp("report"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="package")
def fault_system(report: Path) -> Iterator[FaultSystem]:
    with FaultSystem(report / "system.log") as fault_system:
        yield fault_system
